package record

import "testing"

func TestCheckName(t *testing.T) {
	for _, name := range []string{"llama", "Qwen3-0.6B", "a=b", "模型", "a:b", "a+b", "v1.0_x%"} {
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "-x", ".", "..", "a@2", "a b", "a/b", "a\nb", "a\x00", "a\xff"} {
		if CheckName(name) == nil || NameFault(name) == "" {
			t.Errorf("%q is taken", name)
		}
	}
	for _, name := range []string{"evil$(id)", "a`id`", "a;b", "a&b", "a|b", "a<b", "a>b", "a(b", "a)b", "a!b", "#a", "~a", "^a", "=a", "a\u3164", "a\ufe0f", "a\u2800"} {
		if CheckName(name) == nil {
			t.Errorf("%q is taken", name)
		}
		if wrong := NameFault(name); wrong != "" {
			t.Errorf("a registry that holds %q is refused: %s", name, wrong)
		}
	}
}

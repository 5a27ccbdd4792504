package hub

import (
	"strings"
	"testing"
)

// TestParse: addresses as hf itself reads them, and those of pages.
func TestParse(t *testing.T) {
	t.Setenv("HF_ENDPOINT", "http://127.0.0.1:8750/hf")
	for address, want := range map[string]Name{
		"hf://acme/tiny":                                                       {"acme/tiny", "", ""},
		"HF://acme/tiny/":                                                      {"acme/tiny", "", ""},
		"hf://models/acme/tiny":                                                {"acme/tiny", "", ""},
		"hf://acme/tiny@v1.0":                                                  {"acme/tiny", "v1.0", ""},
		"hf://acme/tiny@main/model.safetensors":                                {"acme/tiny", "main", "model.safetensors"},
		"hf://acme/tiny/sub/a.safetensors":                                     {"acme/tiny", "", "sub/a.safetensors"},
		"hf://acme/tiny@refs/pr/7":                                             {"acme/tiny", "refs/pr/7", ""},
		"hf://acme/tiny@refs/pr/7/sub/x.bin":                                   {"acme/tiny", "refs/pr/7", "sub/x.bin"},
		"hf://acme/tiny@refs/convert/parquet-v2/a":                             {"acme/tiny", "refs/convert/parquet-v2", "a"},
		"hf://acme/tiny@feature%2Ffoo/a":                                       {"acme/tiny", "feature/foo", "a"},
		"hf://acme/tiny@feature/foo":                                           {"acme/tiny", "feature", "foo"},
		"hf://acme/tiny/file@1.txt":                                            {"acme/tiny", "", "file@1.txt"},
		"hf://acme/tiny/a/file@1.txt":                                          {"acme/tiny", "", "a/file@1.txt"},
		"https://huggingface.co/acme/tiny":                                     {"acme/tiny", "", ""},
		"https://hf.co/acme/tiny/tree/main":                                    {"acme/tiny", "main", ""},
		"https://huggingface.co/models/acme/tiny/tree":                         {"acme/tiny", "", ""},
		"https://huggingface.co/acme/tiny/tree/refs%2Fpr%2F1":                  {"acme/tiny", "refs/pr/1", ""},
		"https://huggingface.co/acme/tiny/resolve/v1/a%20b.gguf?download=true": {"acme/tiny", "v1", "a b.gguf"},
		"https://huggingface.co/acme/tiny/blob/main/sub/x.bin#L3":              {"acme/tiny", "main", "sub/x.bin"},
		"http://127.0.0.1:8750/hf/acme/tiny/resolve/main/x.bin":                {"acme/tiny", "main", "x.bin"},
	} {
		got, err := Parse(address)
		if err != nil || got != want || !Names(address) {
			t.Errorf("%s: %+v (%v), want %+v", address, got, err, want)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%s: %s names %+v (%v)", address, got, again, err)
		}
	}
	for address, want := range map[string]string{
		"hf://gpt2":                                  "want ORG/NAME",
		"hf://":                                      "want ORG/NAME",
		"hf://gpt2@main":                             "want ORG/NAME",
		"hf://datasets/acme/rows":                    "models only",
		"hf://spaces/acme/demo":                      "models only",
		"hf://buckets/acme/b/x":                      "models only",
		"hf://dataset/acme/rows":                     "models only",
		"hf://model/acme/tiny":                       "hf://models/acme/tiny",
		"hf://acme/tiny@":                            "no revision",
		"hf://acme/tiny@a..b":                        "not the name of a branch",
		"hf://acme/tiny@a%20b":                       "not the name of a branch",
		"hf://acme/tiny@%zz":                         "invalid URL escape",
		"hf://acme/ti--ny":                           "not the name of a repository",
		"hf://acme/..":                               "not the name of a repository",
		"hf://../tiny":                               "not the name of a repository",
		"hf://acme/tiny.git":                         "not the name of a repository",
		"hf://ac me/tiny":                            "not the name of a repository",
		"hf://acme/tiny/../x":                        "not a path",
		"hf://acme/tiny/a//b":                        "not a path",
		`hf://acme/tiny/a\b`:                         "not a path",
		"hf://acme/tiny\x00":                         "control characters",
		"hf://acme/" + strings.Repeat("x", 96):       "not the name of a repository",
		"hf://acme/" + strings.Repeat("x", 5000):     "longer than",
		"https://huggingface.co/acme":                "names no repository",
		"https://huggingface.co/datasets/acme/a":     "models only",
		"https://huggingface.co/acme/tiny/commits/x": "neither a file nor a folder",
		"https://example.com/acme/tiny":              "not an address of the hub",
		"https://huggingface.co.example.com/a/b":     "not an address of the hub",
		"./acme/tiny":                                "not an address of the hub",
	} {
		if got, err := Parse(address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want an error with %q", address, got, err, want)
		}
	}
}

// TestLogin: where the token comes from, in hf's order, and where it goes.
func TestLogin(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/home/token", "of-home\n")
	write(t, dir+"/other", "  of-path\r\n")
	for what, c := range map[string]struct {
		env           map[string]string
		token, from   string
		none, offline string
	}{
		"nothing":    {nil, "of-home", "home/token", "", ""},
		"variable":   {map[string]string{"HF_TOKEN": " a \n", "HUGGING_FACE_HUB_TOKEN": "b"}, "a", "HF_TOKEN", "", ""},
		"older":      {map[string]string{"HUGGING_FACE_HUB_TOKEN": "b", "HF_TOKEN_PATH": dir + "/other"}, "b", "HUGGING_FACE_HUB_TOKEN", "", ""},
		"blank":      {map[string]string{"HF_TOKEN": " \n"}, "of-home", "home/token", "", ""},
		"path":       {map[string]string{"HF_TOKEN_PATH": dir + "/other"}, "of-path", "other", "", ""},
		"no file":    {map[string]string{"HF_TOKEN_PATH": dir + "/none"}, "", "", "neither in HF_TOKEN nor in " + dir + "/none", ""},
		"oidc":       {map[string]string{"HF_TOKEN_PATH": dir + "/none", "HF_OIDC_RESOURCE": "acme/tiny"}, "", "", "HF_OIDC_RESOURCE is set", ""},
		"implicit":   {map[string]string{"HF_TOKEN": "a", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "yes"}, "", "", "HF_HUB_DISABLE_IMPLICIT_TOKEN is set", ""},
		"implicit 0": {map[string]string{"HF_TOKEN": "a", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "0"}, "a", "HF_TOKEN", "", ""},
		"offline":    {map[string]string{"HF_TOKEN": "a", "HF_HUB_OFFLINE": "on"}, "", "", "", "HF_HUB_OFFLINE"},
		"offline 2":  {map[string]string{"TRANSFORMERS_OFFLINE": "True"}, "", "", "", "TRANSFORMERS_OFFLINE"},
	} {
		t.Run(what, func(t *testing.T) {
			blank(t, dir)
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			l, err := ReadLogin()
			if err != nil {
				t.Fatal(err)
			}
			if l.token != c.token || !strings.HasSuffix(l.From, c.from) || !strings.Contains(l.none, c.none) || l.Offline != c.offline {
				t.Errorf("%+v, want %+v", l, c)
			}
			for origin, gets := range map[string]bool{
				"https://huggingface.co": true, "https://huggingface.co:443": true, "https://HF.co": true, "http://127.0.0.1:8750": true,
				"http://huggingface.co": false, "https://huggingface.co:8443": false, "https://cdn.huggingface.co": false, "http://127.0.0.1:8751": false,
				"https://127.0.0.1:8750": false, "http://localhost:8750": false, "": false,
			} {
				if got := l.Token(origin); (got != "") != (gets && c.token != "") {
					t.Errorf("%s gets %q", origin, got)
				}
			}
		})
	}
	blank(t, dir)
	for _, bad := range []string{"ftp://x", "hub", "http://", "https://u:p@x", "https://x/?q"} {
		t.Setenv("HF_ENDPOINT", bad)
		if _, err := ReadLogin(); err == nil || !strings.Contains(err.Error(), "HF_ENDPOINT") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	t.Setenv("HF_ENDPOINT", "")
	t.Setenv("HF_TOKEN", "two words")
	if _, err := ReadLogin(); err == nil || strings.Contains(err.Error(), "words") || !strings.Contains(err.Error(), "HF_TOKEN") {
		t.Error(err)
	}
}

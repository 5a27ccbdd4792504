package folder

import "testing"

func TestHubCache(t *testing.T) {
	for _, c := range []struct{ hub, legacy, home, xdg, want string }{
		{"/hub", "/l", "/home", "/xdg", "/hub"},
		{"", "/l", "/home", "/xdg", "/l"},
		{"", "", "/home", "/xdg", "/home/hub"},
		{"", "", "", "/xdg", "/xdg/huggingface/hub"},
		{"", "", "", "", "/user/.cache/huggingface/hub"},
	} {
		for k, v := range map[string]string{"HF_HUB_CACHE": c.hub, "HUGGINGFACE_HUB_CACHE": c.legacy, "HF_HOME": c.home, "XDG_CACHE_HOME": c.xdg, "HOME": "/user"} {
			t.Setenv(k, v)
		}
		if got, err := hubCache(); err != nil || got != c.want {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}

func TestHubCacheExpands(t *testing.T) {
	for _, k := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"} {
		t.Setenv(k, "")
	}
	t.Setenv("HOME", "/user")
	t.Setenv("DISK", "/mnt/big")
	for home, want := range map[string]string{"~/hf": "/user/hf/hub", "$DISK/hf": "/mnt/big/hf/hub", "${DISK}/~": "/mnt/big/~/hub"} {
		t.Setenv("HF_HOME", home)
		if got, err := hubCache(); err != nil || got != want {
			t.Errorf("%s: %q, %v", home, got, err)
		}
	}
}

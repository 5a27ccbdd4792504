package ingest

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindCached(t *testing.T) {
	hub := t.TempDir()
	t.Setenv("HF_HUB_CACHE", hub)
	const a, b = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	writeFiles(t, hub, map[string]string{
		"models--org--two/refs/main": a, "models--org--two/refs/pr/1": b, "models--org--two/refs/gone": "cccc",
		"models--org--two/snapshots/" + a + "/config.json": "{}", "models--org--two/snapshots/" + b + "/config.json": "{}",
		"models--org--one/snapshots/" + a + "/config.json": "{}",
		"models--org--none/refs/main":                      a,
		"models--org--evil/refs/main":                      "../../../x",
		"models--org--evil/snapshots/" + a + "/x":          "",
		"x/config.json":                                    "{}",
	})
	for _, c := range []struct{ id, want, fails string }{
		{"org/two", "models--org--two/snapshots/" + a, ""},
		{"org/two@main", "models--org--two/snapshots/" + a, ""},
		{"org/two@pr/1", "models--org--two/snapshots/" + b, ""},
		{"org/two@" + b, "models--org--two/snapshots/" + b, ""},
		{"org/one", "models--org--one/snapshots/" + a, ""},
		{"org/two@gone", "", "not there"},
		{"org/two@v2", "", "not cached"},
		{"org/one@main", "", "not cached"},
		{"org/none", "", "no snapshots"},
		{"org/evil", "", "not there"},
		{"org/two@../../x", "", "not the name of a repository"},
		{"org/two@/x", "", "not the name of a branch"},
		{"org/absent", "", "not in the hf cache"},
		{"../two", "", "not the name"},
		{"org/two/three", "", "not the name"},
		{"org--two/x", "", "not the name"},
		{"two", "", "not the name"},
	} {
		got, err := FindCached(c.id)
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: %q, error %v, want %q", c.id, got, err, c.fails)
			}
			continue
		}
		if want := filepath.Join(hub, filepath.FromSlash(c.want)); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", c.id, got, err, want)
		}
	}
	if _, err := FindCached("org/absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v does not wrap fs.ErrNotExist", err)
	}
}

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

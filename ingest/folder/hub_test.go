package folder

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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

// The name of a blob is the digest of a file where it is one; what lies in the store that repositories share is called by
// another hash.
func TestDigest(t *testing.T) {
	hub, hex := t.TempDir(), strings.Repeat("0123456789abcdef", 4)
	snapshot := filepath.Join(hub, "models--org--m", "snapshots", "c0ffee")
	for _, dir := range []string{snapshot, filepath.Join(hub, "models--org--m", "blobs"), filepath.Join(hub, "blobs", "ab"), filepath.Join(hub, "plain")} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(hub, "blobs", sharedMarker), []byte(sharedVersion), 0o666); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"lfs": "../../blobs/" + hex, "git": "../../blobs/" + hex[:40], "shared": "../../../blobs/ab/" + hex, "inside": hex, "out": "/" + hex, "up": "../../../" + hex,
	} {
		if err := os.Symlink(target, filepath.Join(snapshot, name)); err != nil {
			t.Skip(err)
		}
	}
	for _, dir := range []string{snapshot, filepath.Join(hub, "plain")} {
		if err := os.WriteFile(filepath.Join(dir, hex), nil, 0o666); err != nil {
			t.Fatal(err)
		}
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for _, name := range []string{"lfs", "git", "shared", "inside", "out", "up", "missing", hex} {
			want := ""
			if dir == snapshot && name == "lfs" {
				want = "sha256:" + hex
			}
			if got := d.Digest(name); got != want {
				t.Errorf("%s in %s: %q, want %q", name, dir, got, want)
			}
		}
	}
}

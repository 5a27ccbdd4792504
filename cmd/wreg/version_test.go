package main

import (
	"path/filepath"
	"runtime/debug"
	"testing"
)

// What the go command recorded is said; what it did not is left out.
func TestOrigin(t *testing.T) {
	stamped := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123abc"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}, {Key: "vcs.modified", Value: "true"}}
	for _, c := range []struct {
		main string
		set  []debug.BuildSetting
		want string
		line string
	}{
		{"(devel)", nil, `{}`, version},
		{"v1.2.3", nil, `{"module":"v1.2.3"}`, version},
		{"(devel)", stamped, `{"commit":"0123abc","date":"2026-01-02T03:04:05Z","dirty":true}`, version + " (0123abc and changes, 2026-01-02)"},
		{"v1.2.3", stamped[:1], `{"module":"v1.2.3","commit":"0123abc","date":"","dirty":false}`, version + " (0123abc)"},
	} {
		info := &debug.BuildInfo{Main: debug.Module{Version: c.main}, Settings: c.set}
		if got := versionLine(info); got != c.line {
			t.Errorf("%s with %d settings: %s, want %s", c.main, len(c.set), got, c.line)
		}
		got, err := origin(info).MarshalJSON()
		if err != nil || string(got) != c.want {
			t.Errorf("%s with %d settings: %s, %v, want %s", c.main, len(c.set), got, err, c.want)
		}
	}
}

// The registry lies where each system keeps what programs remember; XDG_DATA_HOME goes
// before, unless it is relative.
func TestDataFolder(t *testing.T) {
	home, local, xdg := t.TempDir(), t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	for _, c := range []struct{ system, xdg, local, want string }{
		{"linux", "", local, filepath.Join(home, ".local", "share")},
		{"darwin", "", local, filepath.Join(home, ".local", "share")},
		{"windows", "", local, local},
		{"windows", "", "", filepath.Join(home, ".local", "share")},
		{"windows", "relative", local, local},
		{"windows", xdg, local, xdg},
		{"linux", xdg, "", xdg},
	} {
		t.Setenv("XDG_DATA_HOME", c.xdg)
		t.Setenv("LOCALAPPDATA", c.local)
		if got, err := dataFolderOn(c.system); err != nil || got != filepath.Join(c.want, "wreg") {
			t.Errorf("%+v: %s, %v", c, got, err)
		}
	}
}

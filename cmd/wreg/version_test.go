package main

import (
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
	}{
		{"(devel)", nil, `{}`},
		{"v1.2.3", nil, `{"module":"v1.2.3"}`},
		{"(devel)", stamped, `{"commit":"0123abc","date":"2026-01-02T03:04:05Z","dirty":true}`},
		{"v1.2.3", stamped[:1], `{"module":"v1.2.3","commit":"0123abc","date":"","dirty":false}`},
	} {
		got, err := origin(&debug.BuildInfo{Main: debug.Module{Version: c.main}, Settings: c.set}).MarshalJSON()
		if err != nil || string(got) != c.want {
			t.Errorf("%s with %d settings: %s, %v, want %s", c.main, len(c.set), got, err, c.want)
		}
	}
}

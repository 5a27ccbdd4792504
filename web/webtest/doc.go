// Package webtest opens pages in a real Chromium, for tests: what one sees, what was
// asked of the network, and what the console says. `make browser` runs them with -tags
// browser, and `make setup` installs Chromium.
//
// Most users need Open, Eval, Page.Key, Page.Quiet and Page.Shot, which are behind the tag.
//
// Invariants: a missing browser is a failure, never a skip; every page listens before
// it loads; pictures are written only where $WREG_SHOTS names a folder.
package webtest

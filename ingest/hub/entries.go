package hub

import (
	"io/fs"
	"time"

	"wreg/ingest/place"
)

// dirEntry shows an entry as package shards asks for it.
type dirEntry struct{ place.Entry }

func dirEntries(list []place.Entry) []fs.DirEntry {
	out := make([]fs.DirEntry, len(list))
	for i, e := range list {
		out[i] = dirEntry{e}
	}
	return out
}

func (d dirEntry) Name() string               { return d.Entry.Name }
func (d dirEntry) IsDir() bool                { return d.Dir }
func (d dirEntry) Type() fs.FileMode          { return map[bool]fs.FileMode{true: fs.ModeDir}[d.Dir] }
func (d dirEntry) Info() (fs.FileInfo, error) { return dirInfo{d}, nil }

type dirInfo struct{ dirEntry }

func (d dirInfo) Size() int64        { return d.Entry.Size }
func (d dirInfo) Mode() fs.FileMode  { return d.Type() }
func (d dirInfo) ModTime() time.Time { return time.Time{} }
func (d dirInfo) Sys() any           { return nil }

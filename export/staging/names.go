package staging

import (
	"regexp"
	"slices"
	"strings"

	"wreg/export/receipt"
	"wreg/ingest/spool"
)

// The files an export writes next to the shards.
const (
	Config = "config.json"
	Index  = "model.safetensors.index.json"
	Readme = "README.md"
)

// shardNames match what shards are called.
var shardNames = regexp.MustCompile(`^model(-[0-9]+-of-[0-9]+)?\.safetensors$`)

// reserved reports the names that an export gives its own files, whatever their case.
func reserved(name string) bool {
	name = strings.ToLower(name)
	return slices.Contains([]string{Config, Index, strings.ToLower(Readme), receipt.Name}, name) ||
		strings.HasPrefix(name, journalName) || isSpool(name) || shardNames.MatchString(name)
}

// isSpool reports what is kept of a source that lies elsewhere until it is written.
func isSpool(name string) bool { return strings.HasPrefix(name, spool.Prefix) }

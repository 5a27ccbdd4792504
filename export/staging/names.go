package staging

import (
	"regexp"
	"slices"
	"strings"

	"wreg/export/receipt"
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
		strings.HasPrefix(name, journalName) || shardNames.MatchString(name)
}

package staging

import (
	"path"
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

// copied are the files of the source that belong to a model besides its weights:
// the tokenizer in each of its forms, the model's own code, and generation
// defaults. They are copied as they are.
var copied = []string{
	"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
	"vocab.json", "vocab.txt", "merges.txt", "chat_template.jinja", "chat_template.json",
	"*.model", "*.tiktoken", "*.py", "generation_config.json",
}

func isCopied(name string) bool {
	return slices.ContainsFunc(copied, func(pattern string) bool { ok, _ := path.Match(pattern, name); return ok })
}

// shardNames match what shards are called.
var shardNames = regexp.MustCompile(`^model(-[0-9]+-of-[0-9]+)?\.safetensors$`)

// reserved reports the names that an export gives its own files, whatever their case.
func reserved(name string) bool {
	name = strings.ToLower(name)
	return slices.Contains([]string{Config, Index, strings.ToLower(Readme), receipt.Name}, name) ||
		strings.HasPrefix(name, journalName) || shardNames.MatchString(name)
}

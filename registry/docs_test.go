package registry

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"wreg/registry/block"
	"wreg/registry/boltfile"
	"wreg/registry/hashindex"
	"wreg/registry/record"
)

// grouped is a number as docs write it: 8,192.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}

// docs/registry-format.md states the limits that the code has.
func TestDocsLimits(t *testing.T) {
	text, err := os.ReadFile("../docs/registry-format.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := strings.Join(strings.Fields(string(text)), " ")
	for _, want := range []string{
		"transactions of at most " + strconv.Itoa(batchBytes>>20) + " MiB or " + grouped(batchKeys) + " keys",
		"cut into chunks of " + grouped(hashindex.ChunkEntries),
		"1 to " + strconv.Itoa(block.WideBits) + ", or 64",
		grouped(block.MaxRows) + " | tensors of a template",
		grouped(block.MaxFreeRows) + " | tensors of a revision beyond",
		grouped(maxFreeRows) + " of all revisions",
		grouped(block.MaxShapes) + " | different shapes of a template, " + grouped(block.MaxDims) + " dimensions",
		grouped(block.MaxFormats) + " different formats",
		grouped(record.MaxFiles) + " | files of a revision; " + grouped(record.MaxFindings) + " findings; " + strconv.Itoa(record.MaxConfig>>20) + " MiB of config.json, and of adapter_config.json; " +
			strconv.Itoa(record.MaxReceipt>>20) + " MiB of receipt; " + strconv.Itoa(record.MaxPath>>10) + " KiB of a path, or of a prefix of names",
		grouped(maxRevisions) + " | revisions of a file",
		grouped(boltfile.MaxPages) + " | pages of a file, of at most " + strconv.Itoa(boltfile.MaxPageSize>>10) + " KiB; buckets lie " + strconv.Itoa(boltfile.MaxBuckets) +
			" deep, pages of a bucket " + strconv.Itoa(boltfile.MaxTreeDepth),
		"`" + string(copyBucket) + "` with its own name",
	} {
		if !strings.Contains(doc, want) {
			t.Errorf("docs/registry-format.md does not say %q", want)
		}
	}
}

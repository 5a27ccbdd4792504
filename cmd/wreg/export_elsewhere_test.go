package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"wreg/ingest/remote/hubtest"
	"wreg/synth"
)

// An export from an address says beforehand what it costs, and how to go on when it fails. A
// file that is not what is declared of it is exit status 1, with both digests.
func TestExportElsewhere(t *testing.T) {
	golden, err := synth.Golden("../../registry/arch/testdata/goldens/hunyuan.json")
	if err != nil {
		t.Fatal(err)
	}
	model, dir := t.TempDir(), t.TempDir()
	if err := golden.Write(model, synth.Options{ShardBytes: 300_000}); err != nil {
		t.Fatal(err)
	}
	h, err := hubtest.Start(hubtest.Options{Repos: map[string]fs.FS{"acme/tiny": os.DirFS(model)}})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for _, v := range [][2]string{{"HF_ENDPOINT", h.URL}, {"HF_HUB_OFFLINE", ""}, {"TRANSFORMERS_OFFLINE", ""}, {"HF_HOME", dir}, {"XDG_CACHE_HOME", dir},
		{"WREG_REGISTRY", filepath.Join(dir, "r.db")}} {
		t.Setenv(v[0], v[1])
	}
	out := filepath.Join(dir, "out")
	wreg := func(want int, says string, args ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if got := run(t.Context(), args, strings.NewReader(""), &stdout, &stderr); got != want {
			t.Fatalf("%q: exit status %d, want %d: %s", args, got, want, &stderr)
		}
		if !regexp.MustCompile(says).MatchString(stderr.String()) {
			t.Errorf("%q: says %s", args, &stderr)
		}
	}
	export := []string{"export", "hf://acme/tiny", "--target", "mlx", "--out", out, "--no-sync"}
	wreg(exitFine, `(?s)hf://acme/tiny: registered as acme--tiny@1.*of disk \([0-9.]+ KiB of it only while it runs.*reads [0-9.]+ KiB over the network, 1s at 1 Gbit/s; nothing was written`, append(export, "--dry-run")...)
	h.Faults(hubtest.Fault{Kind: "changed-silent", Port: "cdn", Path: "model-00002*"})
	digest := regexp.QuoteMeta(h.SHA256("acme/tiny", second(t, model)))
	wreg(exitFindings, `its SHA-256 is [0-9a-f]{64}, declared is `+digest+`.*what came so far is in .*, and --resume goes on from there`, export...)
	if _, err := os.Stat(out); err == nil {
		t.Fatal("it landed")
	}
	wreg(exitFindings, `"status": ?1`, append(export, "--resume", "--json")...)
	h.Faults()
	wreg(exitFine, `read back and proven`, append(export, "--resume")...)
	wreg(exitFine, `every byte is as recorded`, "verify", out)
	wreg(exitTrouble, `acme--tiny@1 lies at hf://acme/tiny@`, "verify", "acme--tiny")
	wreg(exitTrouble, `values are not read over the network; download it`, "diff", "acme--tiny", "out", "--values")
}

func second(t *testing.T, dir string) string {
	t.Helper()
	shards, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	if err != nil || len(shards) < 2 {
		t.Fatal(shards, err)
	}
	return filepath.Base(shards[1])
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"wreg/ingest"
	"wreg/ingest/folder"
	"wreg/ingest/places"
	"wreg/query"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/arch/wrap"
	"wreg/registry/tensor"
	"wreg/view"
	viewtext "wreg/view/text"
)

// ingestOptions are the flags of wreg ingest.
type ingestOptions struct {
	name    string
	rehash  bool
	noHash  bool
	noStats bool
	verify  bool
	far     bool // it lies elsewhere, and is read over the network
	more    bool // the registry knows more of the files now than when they were ingested
	jobs    int
	naming  tensor.Naming
	dryRun  bool
	read    int64 // bytes that came over the network
}

func ingestCommand(a *app) *cobra.Command {
	var o ingestOptions
	c := &cobra.Command{
		Use:   "ingest PATH...",
		Short: "read checkpoints into the registry",
		Long: `Reads checkpoints and registers each as the next revision of a model. A
checkpoint is a file, a folder with shards, index and config.json, or
ORG/NAME[@REVISION] in the hub's cache (nothing is downloaded); its format is
found from content. hf://ORG/NAME[@REVISION][/PATH], or the address of a page of
huggingface.co, s3://BUCKET/PREFIX, oci://HOST/NAME[:TAG], or one file of weights
(https://HOST/…/model.gguf, presigned or not) are read over the network, headers
only: no weights are downloaded, so hashes and statistics are not known unless
--verify reads it all. ollama://NAME[:TAG], docker-model://NAME[:TAG] and
lmstudio://PUBLISHER/NAME are models that these programs keep on this disk.
Several models in one folder are not merged: name a file.
Files that did not change since (size, modification time, inode) are not read
again. Nothing in a checkpoint is executed.

Training puts prefixes before names (_orig_mod., module., state_dict.model.):
--strip takes one off, and leaves out what lies outside of it; --add puts one
before names that lack it. wreg query 'gaps in MODEL' says which is needed.`,
		Example: `  wreg ingest ./hunyuan
  wreg ingest ./pytorch_model.bin --name hunyuan
  wreg ingest org/name
  wreg ingest hf://org/name
  wreg ingest hf://org/name --dry-run
  wreg ingest hf://org/name --verify
  wreg ingest ollama://llama3:8b
  wreg ingest s3://bucket/models/name
  wreg ingest ./epoch=3.ckpt --strip state_dict.model.
  wreg ingest --no-hash /mnt/models/*`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.name != "" && len(args) > 1 {
				return fmt.Errorf("--name %s: %d paths were given and a name is of one model", o.name, len(args))
			}
			if o.noHash && o.rehash {
				return errors.New("--rehash and --no-hash contradict each other")
			}
			if o.noHash && o.verify {
				return errors.New("--verify and --no-hash contradict each other")
			}
			if o.dryRun && (o.rehash || o.verify) {
				return errors.New("--dry-run reads headers alone: it contradicts --rehash and --verify")
			}
			if !slices.ContainsFunc(args, places.Names) { // what comes over the network is waited for
				lessGarbage()
			}
			askHugePages()
			var errs []error
			rep := &report{columns: []string{"model", "tensors", "bytes", "findings", "state"}}
			found, verdicts := false, []view.Verdict{}
			var ends []func()
			o.naming = o.naming.Whole()
			for _, path := range args {
				v, m, state, err := a.ingest(c.Context(), path, o)
				if wrongDigest(err) {
					a.say("%v; nothing of it is registered", err)
					found = true
					continue
				}
				if err != nil {
					if (len(args) > 1 || places.Names(path)) && !strings.HasPrefix(err.Error(), path) && !scheme.MatchString(err.Error()) {
						err = fmt.Errorf("%s: %w", places.Shown(path), err)
					}
					errs = append(errs, err)
					continue
				}
				ref := v.Ref()
				if state == notRegistered {
					ref = v.Model
				}
				rep.rows = append(rep.rows, []any{ref, int64(v.Tensors), v.Bytes, int64(tensor.Faults(v.Findings)), state})
				found = found || tensor.Faults(v.Findings) > 0
				for _, f := range v.Findings {
					a.say("%s: %s: %s", ref, f.Rule, f.Message)
				}
				ends = append(ends, func() { a.sayVerdict(ref, v, m) })
				verdicts = append(verdicts, m.Verdict)
			}
			rep.head = []field{{"verdicts", verdicts}}
			errs = append(errs, a.print(rep))
			for _, end := range ends {
				end()
			}
			if err := errors.Join(errs...); err != nil {
				return err
			}
			if found {
				return errFindings
			}
			return nil
		},
	}
	annotate(c, readsElsewhere, "yes")
	f := c.Flags()
	f.StringVar(&o.name, "name", "", "the model's `NAME` (default: the folder's or file's)")
	f.BoolVar(&o.rehash, "rehash", false, "read every byte again, even of unchanged files")
	f.BoolVar(&o.noHash, "no-hash", false, "headers only, at once: no hashes, no statistics")
	f.BoolVar(&o.verify, "verify", false, "read every file whole and hold its SHA-256 against the declared one")
	f.BoolVar(&o.noStats, "no-stats", false, "hashes only, no minimum, maximum, NaN counts")
	f.IntVarP(&o.jobs, "jobs", "j", 0, "workers (default one per core); over the network, requests at once (default 32)")
	f.BoolVar(&o.dryRun, "dry-run", false, "say what would be registered, from headers: size, files, architecture, gaps; write nothing")
	namingFlags(f, &o.naming)
	return describe(c, "0 read in full, 1 registered with findings (index, shards and disk disagree, or something is damaged; notes of how a file was read are none), or not registered because a digest differs, 2 trouble (refused; nothing was registered); gaps are told, and change no status")
}

// What an ingest may hold is bounded by the headers, and the largest take some
// 300 MB. Garbage is left lying far below that, where collecting costs most for
// the least; near it softMemory has it collected. Go's own variable goes before.
const garbagePercent = 400

func lessGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}

// ingest registers one checkpoint; state says what was done.
func (a *app) ingest(ctx context.Context, path string, o ingestOptions) (v *registry.Revision, m *view.Model, state string, err error) {
	if path, err = checkpointPath(path); err != nil {
		return nil, nil, "", err
	}
	o.noHash = o.noHash || o.dryRun
	c, old, err := a.openCheckpoint(ctx, path, &o)
	if err != nil {
		return nil, nil, "", err
	}
	if old != nil {
		a.say("%s: unchanged since %s: %s", old.Ref(), old.Created.Local().Format("2006-01-02 15:04"), old.Root)
		m, err := a.glanceAt(ctx, old)
		return old, m, "unchanged", err
	}
	defer c.Close()
	a.sayLeft(c.Left(), o.naming)
	if len(c.Tensors()) == 0 {
		return nil, nil, "", noTensor(path, c.Findings())
	}
	now := registry.Revision{
		Model: cmp.Or(o.name, modelName(c.Path())), Root: c.Path(), Config: c.Config(), Files: c.Files(),
		Findings: c.Findings(), Created: time.Now().UTC(), Tool: tool, Hashed: !o.noHash, Naming: o.naming, Adapter: c.Adapter(),
	}
	if old, err := a.latest(now.Model); err != nil {
		return nil, nil, "", err
	} else if old != nil && !o.rehash && !o.more && o.knownBy(old) && unchanged(old, &now) {
		a.say("%s: unchanged since %s (size, modification time, inode); --rehash reads it again", old.Ref(), old.Created.Local().Format("2006-01-02 15:04"))
		m, err := a.glanceAt(ctx, old)
		return old, m, "unchanged", err
	}
	if err := registry.CheckName(now.Model); err != nil { // before hours of reading
		return nil, nil, "", err
	}
	tensors := c.Tensors()
	if !o.noHash {
		var total int64
		for _, t := range tensors {
			total += t.Bytes
		}
		meter := a.meter(now.Model, total)
		tensors, err = c.Hash(ctx, ingest.HashOptions{Jobs: o.jobs, NoStats: o.noStats, Verify: o.verify, Progress: meter.add})
		meter.stop()
		if err != nil {
			return nil, nil, "", err
		}
		now.Files = c.Files()
	} else if o.far {
		if tensors, err = a.inherit(ctx, &now, tensors); err != nil {
			return nil, nil, "", err
		}
	}
	res, why, found, err := matched(ctx, c, tensors)
	if err != nil {
		return nil, nil, "", err
	}
	if res != nil {
		now.Layout = res.Layout
	}
	if !o.noHash {
		now.Findings = c.Findings() // with the bytes read, duplicates are told equal or not
	}
	now.Findings = append(slices.Clone(now.Findings), found...)
	if o.dryRun {
		for _, t := range tensors {
			now.Bytes += t.Bytes
		}
		now.Tensors = len(tensors)
		a.sayFiles(&now, o.read)
		m := view.Brief(&now, res, why, tensors)
		m.Verdict.Next = []string{"the same without --dry-run"}
		if places.Shown(path) == path {
			m.Verdict.Next[0] = shellLine([]string{"wreg", "ingest", path})
		}
		return &now, m, notRegistered, nil
	}
	err = a.open(registry.Options{}, func(r *registry.Registry) (err error) {
		v, err = r.Put(ctx, now, tensors)
		return err
	})
	if err != nil {
		return nil, nil, "", err
	}
	if res != nil && len(res.Gaps) > 0 && !res.Gaps[0].All {
		err := a.read(func(_ *registry.Registry, s *registry.Snapshot) error { return query.Remedied(ctx, s, v, res.Gaps) })
		if err != nil {
			return nil, nil, "", err
		}
	}
	return v, view.Brief(v, res, why, tensors), "registered", nil
}

// knownBy reports that a revision knows of its files what the options ask for.
func (o *ingestOptions) knownBy(v *registry.Revision) bool {
	switch {
	case o.verify:
		return !slices.ContainsFunc(v.Files, func(f tensor.File) bool {
			return f.Trust != tensor.TrustUnset && f.Trust != tensor.TrustSummed && f.Trust != tensor.TrustVerified
		})
	case o.noHash:
		return true
	}
	return v.Hashed
}

// sayVerdict is what an ingest ends with.
func (a *app) sayVerdict(ref string, v *registry.Revision, m *view.Model) {
	lines := viewtext.Verdict(m)
	if v.Adapter != nil {
		lines = []string{wrap.ReadTrained(v.Adapter).Text() + ", not a model"}
	}
	for _, l := range lines {
		a.say("%s: %s", ref, l)
	}
}

// notRegistered is the state of what was only looked at.
const notRegistered = "not registered"

// sayFiles says what a checkpoint consists of; read is what came of it over the network.
func (a *app) sayFiles(v *registry.Revision, read int64) {
	var total int64
	formats := map[string]int{}
	for _, f := range v.Files {
		total += f.Size
		formats[f.Format]++
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(formats)) {
		parts = append(parts, fmt.Sprintf("%d %s", formats[name], name))
	}
	text := fmt.Sprintf("%s: %s (%s), %s", v.Root, tensor.Count(len(v.Files), "file"), strings.Join(parts, ", "), size(total))
	if read > 0 {
		text += fmt.Sprintf("; %s came over the network", size(read))
	}
	if cfg, err := arch.ParseConfig(v.Config); err == nil {
		text += "; model_type " + cfg.ModelType()
	}
	a.say("%s: %s", v.Model, text)
}

// glanceAt is what ingest says of a revision that was registered before.
func (a *app) glanceAt(ctx context.Context, v *registry.Revision) (m *view.Model, err error) {
	if a.quiet {
		return view.Brief(v, nil, "", nil), nil
	}
	err = a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
		m, err = view.Of(ctx, s, v, nil)
		return err
	})
	return m, err
}

// noTensor refuses a checkpoint without tensors, with the first of what was found
// instead.
func noTensor(path string, findings []tensor.Finding) error {
	if len(findings) == 0 {
		return fmt.Errorf("%s: no tensor in it", path)
	}
	return fmt.Errorf("%s: no tensor in it: %s", path, strings.TrimPrefix(findings[0].Message, filepath.Base(path)+": "))
}

// checkpointPath is a path on disk as it is, and otherwise the snapshot of a
// repository in the hub's cache.
func checkpointPath(arg string) (string, error) {
	if places.Names(arg) {
		return places.Path(arg)
	}
	if _, err := os.Lstat(arg); errors.Is(err, os.ErrNotExist) && folder.IsRepoID(arg) {
		return folder.FindCached(arg)
	}
	return arg, nil
}

// latest is the newest revision of a model, nil when there is none or no
// registry yet.
func (a *app) latest(model string) (*registry.Revision, error) {
	v, _, err := a.find(model)
	return v, err
}

var errNoRegistry = errors.New("there is no registry")

// find is latest, and none says why there is no such model.
func (a *app) find(model string) (v *registry.Revision, none, err error) {
	if there, err := a.anyRegistry(); err != nil || !there {
		return nil, errNoRegistry, err
	}
	err = a.read(func(_ *registry.Registry, s *registry.Snapshot) (err error) {
		v, err = s.Find(model)
		return err
	})
	if _, ok := errors.AsType[*registry.NotFoundError](err); ok {
		return nil, err, nil
	}
	return v, nil, err
}

// mayAsk is anyRegistry for verbs that do without one: where none could lie there is none.
func (a *app) mayAsk() (bool, error) {
	there, err := a.anyRegistry()
	if errors.Is(err, errNoPlace) {
		err = nil
	}
	return there, err
}

// anyRegistry reports whether there is a registry yet.
func (a *app) anyRegistry() (bool, error) {
	path, err := a.registryPath()
	if err != nil {
		return false, err
	}
	if _, err = os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// isPath reports arguments that are paths, whatever models there are. Anything else is
// a model's name, if the registry has it: org/name as well, where no such file is.
func isPath(arg string) bool {
	if folder.IsRepoID(arg) {
		_, err := os.Lstat(arg)
		return err == nil && strings.Contains(arg, "/")
	}
	return arg == "." || arg == ".." || strings.ContainsAny(arg, `/\`)
}

// besideFindings are about files that are no part of a revision: their sizes and times
// are not kept.
func besideFindings(v *registry.Revision) []tensor.Finding {
	return slices.DeleteFunc(slices.Clone(v.Findings), func(f tensor.Finding) bool {
		return !slices.Contains([]string{"broken-file", "incomplete-download", "variant", "other-format", "adapter-beside", "passed-over"}, f.Rule)
	})
}

// unchanged compares what says whether files are still the same.
func unchanged(old, now *registry.Revision) bool {
	return slices.Equal(besideFindings(old), besideFindings(now)) && old.Root == now.Root && old.Naming == now.Naming && string(old.Config) == string(now.Config) && string(old.Adapter) == string(now.Adapter) && slices.EqualFunc(old.Files, now.Files, func(a, b tensor.File) bool {
		return a.Name == b.Name && a.Size == b.Size && a.Inode == b.Inode && a.ModifiedAs(b.ModTime)
	})
}

// modelName is what a checkpoint is called when no one says: the last part of
// its path, or org--name for a repository of the hub, in its cache or there.
func modelName(path string) string {
	if name := places.ModelName(path); name != "" {
		return name
	}
	base := filepath.Base(path)
	if parent := filepath.Dir(path); filepath.Base(parent) == "snapshots" {
		if repo, ok := strings.CutPrefix(filepath.Base(filepath.Dir(parent)), "models--"); ok {
			return repo
		}
	}
	for _, ext := range []string{".safetensors", ".bin", ".pt", ".pth", ".pt2", ".gguf", ".npz", ".npy"} {
		base = strings.TrimSuffix(base, ext)
	}
	return base
}

// matched lays a checkpoint against its architecture, nil when that is unknown: why says so,
// and found what in config.json keeps it, or mlx_lm, from making the model.
func matched(ctx context.Context, c *ingest.Checkpoint, tensors []tensor.Info) (res *arch.Resolution, why string, found []tensor.Finding, err error) {
	if c.Adapter() != nil { // a config.json beside it is its base model's
		return nil, "", nil, nil
	}
	if len(c.Config()) == 0 {
		return nil, view.NoConfig, nil, nil
	}
	cfg, err := arch.ParseConfig(c.Config())
	if err != nil {
		return nil, err.Error(), nil, nil // said by package ingest
	}
	ar, err := arch.FindFor(ctx, "", cfg, tensor.List(tensors))
	if err != nil {
		return nil, err.Error(), nil, nil
	}
	res, err = ar.Resolve(ctx, cfg, tensor.List(tensors))
	if err == nil && ar.Layout != arch.MLX && res.Layout != ar.Layout { // what is asked later goes by the layout that is kept
		if first, findErr := arch.Find(cfg); findErr == nil && first.Layout != ar.Layout {
			res, err = first.Resolve(ctx, cfg, tensor.List(tensors))
		}
	}
	var fault *arch.Error
	switch {
	case errors.As(err, &fault) && fault.Refused:
		return nil, err.Error(), nil, nil // which says nothing of the file
	case ctx.Err() != nil:
		return nil, "", nil, err
	}
	refused := view.Refused(c.Config())
	if refused == nil && err != nil {
		why := err.Error()
		if fault != nil {
			why = strings.TrimPrefix(fault.Lines()[0], "config.json: ")
		}
		refused = fmt.Errorf("config.json: no %s can be made of it: %s", cfg.ModelType(), why)
	}
	if refused != nil {
		found = []tensor.Finding{{Rule: "config-value", File: "config.json", Message: refused.Error()}}
	}
	return res, "", found, nil
}

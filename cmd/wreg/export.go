package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"wreg/accel"
	"wreg/export"
	"wreg/export/receipt"
	"wreg/ingest/places"
	"wreg/ingest/regular"
	"wreg/push"
	"wreg/query"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// exportOptions are the flags of wreg export that export.Options does not have.
type exportOptions struct {
	export.Options
	dtype, hfPath, arch, memory, name string
	device, part                      string
	dryRun, noRegister                bool
	naming                            tensor.Naming
	publish                           push.Options
	maxShard                          string
	quantizeOptions
}

func exportCommand(a *app) *cobra.Command {
	var o exportOptions
	c := &cobra.Command{
		Use:   "export MODEL|PATH|ADDRESS --out DIR",
		Short: "write the checkpoint a consumer needs, and prove it",
		Long: `Plans every output tensor, checks for gaps, streams the shards, reads them back,
and renames the finished folder into place with a receipt in it. With a gap
nothing is written. MODEL is a model of the registry, or a path or an address as
hf://ORG/NAME, which is ingested first. The result is registered under the name of the folder, as an
ingest of it would be: the next revision of a model of that name.`,
		Example: `  wreg export hunyuan --target mlx --out ./hunyuan-mlx
  wreg export hunyuan --dtype float16 --out ./hy16 --dry-run
  wreg export hunyuan -q --q-bits 8 --q-override '*.gate.wg=keep' --out ./hy8
  wreg export --hf-path ./hunyuan --mlx-path ./hunyuan-mlx
  wreg export hf://org/name -q --out ./name-mlx
  wreg export hunyuan --out /shared/hunyuan-mlx --part 3/8`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case o.hfPath != "" && len(args) == 1:
				return errors.New("--hf-path names the model already; leave the argument out")
			case o.hfPath != "":
				args = []string{o.hfPath}
			case len(args) == 0:
				return errors.New("which model? give its name or path")
			}
			return a.export(c, args[0], o)
		},
	}
	annotate(c, readsElsewhere, "yes")
	f := c.Flags()
	f.StringVar(&o.Target, "target", arch.MLX, "layout to write: mlx, mlx-vlm or hf")
	f.StringVar(&o.Out, "out", "", "`DIR` to make, which must not exist; or an address as of wreg push: then each shard is sent when it is finished, and removed here")
	f.BoolVar(&o.publish.Private, "private", false, "to an address: as of wreg push")
	f.StringVar(&o.maxShard, "max-shard-size", "", "bytes of tensors in one shard (default 5GiB, as mlx_lm has it)")
	f.StringVar(&o.Out, "mlx-path", "", "the same, as mlx_lm.convert calls it")
	f.StringVar(&o.hfPath, "hf-path", "", "the model, as mlx_lm.convert calls it")
	f.StringVar(&o.dtype, "dtype", "", "cast weights to float16, bfloat16 or float32 (default config.json's torch_dtype)")
	f.StringVar(&o.arch, "arch", "", "architecture `FILE` instead of the one for model_type")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the plan and what it needs, and write nothing; a table is folded")
	f.BoolVar(&o.AllowUnused, "allow-unused", false, "list source tensors that no rule knows, and go on; never those of packed weights or adapters, nor a head")
	f.BoolVar(&o.noRegister, "no-register", false, "do not register the result")
	f.StringVar(&o.name, "name", "", "register the result under `NAME` (default: the name of the --out folder)")
	f.StringVar(&o.memory, "memory", "", "bound on buffers (default 512MiB)")
	f.IntVarP(&o.Jobs, "jobs", "j", 0, "workers (default one per core, plus one)")
	f.StringVar(&o.Prove, "prove", "xxh3", "how bytes are proven: xxh3 or sha256")
	f.BoolVar(&o.NoSync, "no-sync", false, "skip fsync: for scratch output")
	f.BoolVar(&o.Resume, "resume", false, "resume an export that was killed (same plan, same inputs)")
	f.StringVar(&o.part, "part", "", "write share `K/N` of the bytes only: in any order, on any machine")
	f.BoolVar(&o.Finish, "finish", false, "check that every part is there, then land them as one folder")
	f.StringVar(&o.device, "device", "", "where steps compute: auto, cpu or metal (default $WREG_DEVICE, then auto)")
	namingFlags(f, &o.naming)
	o.quantizeOptions.flags(c)
	exclude(c, "part", "finish")
	exclude(c, "out", "mlx-path")
	return describe(c, "0 exported and proven, 1 a file that was read from elsewhere is not what is declared of it there, 2 trouble (a gap, a full disk, a changed source; nothing is left under the final name)")
}

func (a *app) export(c *cobra.Command, model string, o exportOptions) error {
	if o.Out == "" {
		return errors.New("--out DIR is missing: say where to write")
	}
	var err error // of what was asked for, before a path is ingested
	if o.dtype != "" {
		if o.DType, err = parseDType(o.dtype); err != nil {
			return err
		}
	}
	if o.memory != "" {
		if o.Memory, err = parseSize(o.memory); err != nil {
			return fmt.Errorf("--memory: %w", err)
		}
	}
	if o.maxShard != "" {
		if o.ShardBytes, err = parseSize(o.maxShard); err != nil {
			return fmt.Errorf("--max-shard-size: %w", err)
		}
	}
	if o.name != "" { // known wrong before hours of copying, not after
		if err := registry.CheckName(o.name); err != nil {
			return err
		}
	}
	if o.Part, o.Parts, err = parsePart(o.part); err != nil {
		return err
	}
	if o.Arch, err = readArch(o.arch); err != nil {
		return err
	}
	if err := o.apply(c, &o.Options); err != nil {
		return err
	}
	to, err := a.outlet(c.Context(), &o)
	if err != nil {
		return err
	}
	if to != nil {
		defer to.target.Close()
	}
	ref, err := a.modelOrPath(c, model, o.naming.Whole())
	if err != nil {
		return err
	}
	m := &meter{}
	o.Progress = func(done, total int64) { m.set(done, total) }
	var plan *export.Plan
	var source *registry.Revision
	o.Tool = tool
	err = a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
		if source, err = s.Find(ref); err != nil {
			return err
		}
		device, note, err := accel.Pick(o.device, source.Bytes)
		if err != nil {
			return err
		}
		if o.Device = device; note != "" {
			a.say("%s", note)
		}
		plan, err = export.New(c.Context(), s, source, o.Options)
		var refused *export.GapError
		if errors.As(err, &refused) {
			if err := query.Remedied(c.Context(), s, source, refused.Gaps); err != nil {
				return errors.Join(err, refused)
			}
			return &foldedGaps{refused}
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, l := range leftOut(plan) {
		a.say("%s", l)
	}
	for _, n := range plan.Notes {
		a.say("%s", n)
	}
	if o.dryRun {
		if err := a.print(planReport(plan)); err != nil {
			return err
		}
		for _, l := range whyQuantized(plan) {
			a.say("%s", l)
		}
		a.say("%s, %s in %s; needs %s of memory and %s of disk%s; nothing was written", tensor.Count(len(plan.Tensors), "tensor"),
			size(plan.TotalSize), tensor.Count(len(plan.Shards), "shard"), size(plan.Memory), size(plan.Disk+plan.Spool), fromElsewhere(plan))
		return nil
	}
	show := a.meter(o.where(to), plan.TotalSize)
	if m = show; to != nil { // sending takes longer than making does
		m, to.moved = &meter{}, show.add
	}
	unboundMemory()
	receipt, err := plan.Run(c.Context())
	show.stop()
	if err != nil {
		return err
	}
	if receipt == nil {
		a.say("%s: part %s is written and proven; --finish lands all of them", o.Out, o.part)
		return a.done(object{{"out", o.Out}, {"source", source.Ref()}, {"target", plan.Target}, {"part", o.Part}, {"parts", o.Parts}})
	}
	bits := ""
	if b := plan.BitsPerWeight(); b > 0 {
		bits = fmt.Sprintf(" (%.2f bits a weight)", b)
	}
	proven := "read back and proven"
	if to != nil {
		proven += "; verified: " + to.target.Proof()
	}
	a.say("%s: %s, %s%s in %s, %s", o.where(to), tensor.Count(len(plan.Tensors), "tensor"), size(plan.TotalSize), bits, tensor.Count(len(plan.Shards), "shard"), proven)
	done := object{{"out", o.where(to)}, {"source", source.Ref()}, {"target", plan.Target}, {"tensors", int64(len(plan.Tensors))}, {"bytes", plan.TotalSize},
		{"shards", int64(len(plan.Shards))}, {"bits_per_weight", nil}, {"notes", plan.Notes}, {"model", nil}}
	if bits != "" {
		done[6].value = plan.BitsPerWeight()
	}
	if o.noRegister {
		return a.done(done)
	}
	o.name = cmp.Or(o.name, exportName(o.where(to), source.Model, o.Target))
	var v *registry.Revision
	before, err := a.latest(o.name)
	if err == nil {
		v, err = a.register(c.Context(), o, to, source, receipt)
	}
	if err != nil {
		return fmt.Errorf("%s is complete, but was not registered: %w", o.where(to), err)
	}
	if before != nil && before.Root != v.Root {
		a.say("registered as %s; %s is %s", v.Ref(), before.Ref(), before.Root)
	} else {
		a.say("registered as %s", v.Ref())
	}
	done[8].value = v.Ref()
	return a.done(done)
}

// exportName is what an export is registered as when no one says: what an ingest of its
// folder would call it. It is no revision of the model that it was made from: where the
// folder has that name, or one that no model can have, the target tells them apart.
func exportName(out, source, target string) string {
	name := modelName(out)
	if name == source || registry.CheckName(name) != nil {
		return source + "-" + target
	}
	return name
}

// register stores an exported folder as a model. What its tensors are is known
// from the proof, so no byte is read again; a hash that no copied source gave is
// absent until wreg ingest reads the folder.
func (a *app) register(ctx context.Context, o exportOptions, to *outlet, source *registry.Revision, receipt *receipt.Receipt) (v *registry.Revision, err error) {
	c, err := a.output(ctx, &o, to)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	proof, err := receipt.JSON()
	if err != nil {
		return nil, err
	}
	hashed := !slices.ContainsFunc(receipt.Infos, func(t tensor.Info) bool { return t.Hash.IsZero() })
	err = a.open(registry.Options{}, func(r *registry.Registry) error {
		v, err = r.Put(ctx, registry.Revision{
			Model: o.name, Root: c.Path(), Config: c.Config(), Files: c.Files(), Findings: c.Findings(),
			Created: time.Now().UTC(), Tool: o.Tool, Hashed: hashed, Source: source.Ref(), Layout: o.Target, Receipt: proof,
		}, receipt.Infos)
		return err
	})
	return v, err
}

// parsePart reads K/N.
func parsePart(text string) (part, parts int, err error) {
	if text == "" {
		return 0, 0, nil
	}
	k, n, ok := strings.Cut(text, "/")
	if part, err = strconv.Atoi(k); err == nil {
		parts, err = strconv.Atoi(n)
	}
	if !ok || err != nil || part < 1 || part > parts {
		return 0, 0, fmt.Errorf("--part %q: want K/N with K from 1 to N", text)
	}
	return part, parts, nil
}

// modelOrPath gives the reference of a registered model; a path on disk that is
// no model's name is ingested first, with its names as they are to be read.
func (a *app) modelOrPath(c *cobra.Command, model string, n tensor.Naming) (ref string, err error) {
	if !isPath(model) {
		if v, err := a.latest(model); err != nil {
			return "", err
		} else if v != nil {
			if v.Naming != n && !n.IsZero() {
				again := []string{"wreg", "ingest", v.Root}
				if v.Model != modelName(v.Root) {
					again = append(again, "--name", v.Model)
				}
				return "", fmt.Errorf("%s was ingested without %s; do that first: %s %s", v.Ref(), n.Flags(), shellLine(again), n.Flags())
			}
			return v.Ref(), nil
		}
	}
	path, err := checkpointPath(model)
	if err == nil && !places.Names(path) {
		_, err = os.Stat(path)
	}
	switch {
	case err != nil && strings.ContainsAny(model, `/\`):
		return "", err
	case err != nil:
		return model, nil // let the registry say that it does not know it
	}
	v, _, state, err := a.ingest(c.Context(), path, ingestOptions{naming: n})
	if err != nil {
		return "", err
	}
	for _, f := range v.Findings {
		a.say("%s: %s: %s", v.Ref(), f.Rule, f.Message)
	}
	a.say("%s: %s as %s", model, state, v.Ref())
	return v.Ref(), nil
}

// readArch parses an architecture file; no name is no architecture.
func readArch(file string) (*arch.Arch, error) {
	if file == "" {
		return nil, nil
	}
	text, err := regular.Read(file, expr.MaxText)
	if err != nil {
		return nil, err
	}
	return arch.Parse(file, string(text))
}

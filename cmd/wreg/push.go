package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"wreg/ingest"
	"wreg/push"
	"wreg/push/targets"
	"wreg/registry/tensor"
)

// writesElsewhere marks a command that publishes to an address.
const writesElsewhere = "writes-elsewhere"

// pushOptions are the flags of wreg push.
type pushOptions struct {
	push.Options
	jobs           int
	dryRun, flawed bool
}

func pushCommand(a *app) *cobra.Command {
	var o pushOptions
	c := &cobra.Command{
		Use:   "push DIR ADDRESS",
		Short: "publish a checkpoint, and have the store prove that it took it",
		Long: `Publishes the files of a folder at an address. Every file is read once and hashed;
one with wreg-receipt.json, as export leaves it, is held against that on the way, and
a folder that differs from its receipt, or whose index, shards and disk disagree, is
refused before anything is sent. What the store has already, by its SHA-256, is not
sent again, nor, after an end in the middle, what arrived. Everything becomes visible
at once, at the end; the address that is printed is of exactly these files.

ADDRESS is one of:
  ` + strings.Join(targets.Forms(), "\n  ") + `
Folders and hidden files in DIR are left out.`,
		Example: `  wreg push ./hunyuan-mlx hf://org/hunyuan-mlx --dry-run
  wreg push ./hunyuan-mlx hf://org/hunyuan-mlx --private
  wreg push ./hunyuan-mlx hf://org/hunyuan@mlx-4bit
  wreg push ./hunyuan-mlx oci://ghcr.io/org/hunyuan:mlx`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error { return a.push(c, args[0], args[1], o) },
	}
	annotate(c, writesElsewhere, "yes")
	f := c.Flags()
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would be sent and what is there already, and change nothing")
	f.BoolVar(&o.Private, "private", false, "make a repository that is not there visible to its owner alone; one that is there has to be private")
	f.StringVarP(&o.Message, "message", "m", "", "`TEXT` of the commit, where there is one")
	f.BoolVar(&o.flawed, "allow-findings", false, "publish a checkpoint whose index, shards and disk disagree")
	f.IntVarP(&o.jobs, "jobs", "j", 0, fmt.Sprintf("files sent at once (default %d)", push.DefaultJobs))
	return describe(c, "0 published and proven, 1 the checkpoint has findings and nothing was sent, 2 trouble (refused, or no connection; nothing is visible that was not before)")
}

func (a *app) push(c *cobra.Command, dir, address string, o pushOptions) error {
	ctx := c.Context()
	if err := targets.Check(address); err != nil {
		return err
	}
	dir, err := checkpointPath(dir)
	if err != nil {
		return err
	}
	f, err := push.OpenFolder(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := a.flaws(c, dir, o); err != nil {
		return err
	}
	if len(f.LeftOut) > 0 {
		a.say("left out: %s", strings.Join(f.LeftOut, ", "))
	}
	o.UserAgent = tool
	t, err := targets.Open(ctx, address, o.Options)
	if err != nil {
		return err
	}
	defer t.Close()
	m := a.meter(dir, f.Bytes())
	err = f.Hash(ctx, 0, m.add)
	m.stop()
	if err != nil {
		return err
	}
	held, err := t.Held(ctx, f.Files)
	if err != nil {
		return err
	}
	var send int64
	for i, file := range f.Files {
		if !held[i] {
			send += file.Size
		}
	}
	there := len(f.Files) - countFalse(held)
	if o.dryRun {
		if err := a.print(pushReport(f, held)); err != nil {
			return err
		}
		a.say("would send %s, %s; %s there already; nothing was sent", tensor.Count(countFalse(held), "file"), size(send), areThere(there))
		return nil
	}
	m = a.meter(address, send)
	pin, err := f.Send(ctx, t, held, o.jobs, m.add)
	m.stop()
	if err != nil {
		return err
	}
	said := ""
	if there > 0 {
		said = fmt.Sprintf(" (%s there already)", areThere(there))
	}
	if f.Proven {
		said += ", as the receipt has them"
	}
	a.say("%s: %s, %s sent%s; verified: %s", pin, tensor.Count(len(f.Files), "file"), size(send), said, t.Proof())
	return a.done(object{{"address", pin}, {"files", int64(len(f.Files))}, {"bytes", f.Bytes()}, {"sent", send}, {"there", int64(there)}, {"receipt", f.Proven}, {"proof", t.Proof()}})
}

func areThere(n int) string {
	if n == 1 {
		return "1 is"
	}
	return fmt.Sprintf("%d are", n)
}

func countFalse(list []bool) (n int) {
	for _, b := range list {
		if !b {
			n++
		}
	}
	return n
}

// flaws refuses a checkpoint that no reader would load as it is meant.
func (a *app) flaws(c *cobra.Command, dir string, o pushOptions) error {
	k, err := ingest.Open(c.Context(), dir, ingest.Options{})
	if err != nil {
		return err
	}
	found := slices.Clone(k.Findings())
	none := len(k.Tensors()) == 0
	if err := k.Close(); err != nil {
		return err
	}
	if none {
		return noTensor(dir, found)
	}
	for _, f := range found {
		a.say("%s: %s: %s", dir, f.Rule, f.Message)
	}
	if tensor.Faults(found) == 0 || o.flawed {
		return nil
	}
	a.say("%s: nothing was sent; --allow-findings publishes it as it is", dir)
	return errFindings
}

// pushReport is what --dry-run prints: a row a file.
func pushReport(f *push.Folder, held []bool) *report {
	r := &report{columns: []string{"file", "bytes", "sha256", "state"}, spare: []string{"sha256"}}
	for i, file := range f.Files {
		state := "send"
		if held[i] {
			state = "there"
		}
		r.rows = append(r.rows, []any{file.Name, file.Size, file.SHA256, state})
	}
	return r
}

// publishes reports the argument that is an address to publish to, and what is wrong with it.
func publishes(c *cobra.Command, args []string, i int) (ok bool, err error) {
	if c.Annotations[writesElsewhere] == "" || i != len(args)-1 {
		return false, nil
	}
	return true, targets.Check(args[i])
}

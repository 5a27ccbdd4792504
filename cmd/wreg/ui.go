package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"wreg/registry"
	"wreg/web/ui"
)

func uiCommand(a *app) *cobra.Command {
	var o ui.Options
	var open bool
	c := &cobra.Command{
		Use:   "ui [MODEL]",
		Short: "look at the registry in a browser",
		Long: `Serves the registry to a browser on this machine and prints the address to open:
models and what they were made from, the map of each, statistics, tensors, files
and receipt, two models compared, and a box for queries that completes. Every
page shows the command that gives the same answer.

It reads only, on 127.0.0.1 only, for whoever has the token in the address, and
asks the network for nothing. It keeps no lock: the registry is open while a page
is made, and anybody may write in between. ^C ends it, and so does --idle without a
request. docs/ui.md says more.`,
		Example: `  wreg ui
  wreg ui hunyuan --open
  wreg ui --port 8080 --idle 0`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.Port < 0 || o.Port > 65535 {
				return fmt.Errorf("--port %d: want 0 to 65535", o.Port)
			}
			if o.Idle < 0 {
				return fmt.Errorf("--idle %s: want 0, which is never, or more", o.Idle)
			}
			path, err := a.registryPath()
			if err != nil {
				return err
			}
			if o.Registry, err = filepath.Abs(path); err != nil {
				return err
			}
			model := "" // what cannot be shown is said before a browser opens
			err = a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
				if len(args) == 0 {
					_, err := s.Models() // what the first page lists
					return err
				}
				v, err := s.Find(args[0])
				if err == nil {
					model = v.Ref()
				}
				return err
			})
			if err != nil {
				return err
			}
			if a.registry != "" {
				o.Flags = []string{"--registry", o.Registry}
			}
			o.Version = tool
			o.Say = func(line string) { a.say("%s", line) }
			s, err := ui.Listen(o)
			if err != nil {
				return err
			}
			if err := a.printURL(s.URL(model)); err != nil {
				return errors.Join(err, s.Close())
			}
			a.say("open this address in a browser; ^C ends wreg ui%s", map[bool]string{true: ", and so does " + ui.IdleText(o.Idle) + " without a request"}[o.Idle > 0])
			if open {
				if err := browse(s.OnceURL(model)); err != nil {
					a.say("no browser was started: %v", err)
				}
			}
			if err := s.Run(c.Context()); err != nil {
				return err
			}
			if c.Context().Err() == nil {
				a.say("nobody asked for %s: ended", ui.IdleText(o.Idle))
			}
			return nil
		},
	}
	f := c.Flags()
	f.IntVar(&o.Port, "port", 0, "`PORT` of 127.0.0.1 to listen on (default: one that is free)")
	f.DurationVar(&o.Idle, "idle", 30*time.Minute, "end after `TIME` without a request; 0 never")
	f.BoolVar(&open, "open", false, "start a browser, too")
	return describe(c, "0 ended by ^C or --idle, 2 trouble (no registry or a damaged one, no such model, port taken)")
}

// printURL prints an address, for people alone on its line.
func (a *app) printURL(url string) error {
	if a.dataFormat() != "" {
		return a.printObject(object{{"url", url}})
	}
	_, err := fmt.Fprintln(a.out, url)
	return err
}

// browse starts the user's browser. The address is an argument, never a line for a shell.
func browse(url string) error {
	line := []string{"xdg-open", url}
	switch runtime.GOOS {
	case "darwin":
		line[0] = "open"
	case "windows":
		line = []string{"rundll32", "url.dll,FileProtocolHandler", url}
	}
	c := exec.Command(line[0], line[1:]...)
	if err := c.Start(); err != nil {
		if b := os.Getenv("BROWSER"); b != "" && errors.Is(err, exec.ErrNotFound) && !strings.ContainsAny(b, " \t") {
			c = exec.Command(b, url)
			err = c.Start()
		}
		if err != nil {
			return err
		}
	}
	go c.Wait()
	return nil
}

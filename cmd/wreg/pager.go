package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"

	"golang.org/x/term"
)

// cannotRun is the first exit status by which a shell says that there is no such command.
const cannotRun = 126

// held is output for a terminal that is kept until its length is known.
type held struct {
	bytes.Buffer
	terminal *os.File
}

// fileOf is the file behind w, nil when it is none.
func fileOf(w any) *os.File {
	switch w := w.(type) {
	case *os.File:
		return w
	case *held:
		return w.terminal
	}
	return nil
}

// paged runs what prints for people. What a terminal does not hold goes through a pager, as
// git does it.
func (a *app) paged(print func(*app) error) error {
	file, ok := a.out.(*os.File)
	command := a.pager()
	if !ok || command == nil || !isTerminal(file) || !isTerminal(a.in) {
		return print(a)
	}
	out := &held{terminal: file}
	b := *a
	b.out = out
	if err := print(&b); err != nil {
		return err
	}
	_, height, err := term.GetSize(int(file.Fd()))
	if err != nil || bytes.Count(out.Bytes(), []byte("\n")) < height {
		command = nil
	}
	if command != nil {
		command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(out.Bytes()), file, fileOf(a.err)
		interrupts := make(chan os.Signal, 1)
		signal.Notify(interrupts, os.Interrupt) // it is the pager's
		defer signal.Stop(interrupts)
		var exit *exec.ExitError
		if err := command.Run(); err == nil || errors.As(err, &exit) && exit.ExitCode() < cannotRun {
			return nil // leaving it early is no error
		}
	}
	_, err = file.Write(out.Bytes())
	return err
}

// pager is the command that shows long output; nil for none.
func (a *app) pager() *exec.Cmd {
	line, chosen := os.LookupEnv("WREG_PAGER")
	if !chosen {
		line, chosen = os.LookupEnv("PAGER")
	}
	if !chosen {
		line = "less"
	}
	if line = strings.TrimSpace(line); a.noPager || line == "" || line == "cat" || os.Getenv("TERM") == "dumb" {
		return nil
	}
	words := strings.Fields(line)
	if _, err := exec.LookPath(words[0]); err != nil && !chosen {
		return nil
	}
	command := exec.Command(words[0], words[1:]...)
	if runtime.GOOS != "windows" { // as git: it may have arguments with quotes
		command = exec.Command("/bin/sh", "-c", line)
	}
	command.Env = os.Environ()
	if _, set := os.LookupEnv("LESS"); !set {
		command.Env = append(command.Env, "LESS=FRX") // leaves what fits, keeps colours and the screen
	}
	return command
}

// Command wreg is an embedded registry of model weights with a query language:
// it indexes checkpoints, finds the weights that are missing, and writes the
// checkpoint a consumer needs.
//
// One file per verb; root.go has the list of them and what they share: streams, global
// flags, exit statuses. output.go prints rows in every format, escape.go whatever came
// from a file, progress.go the meter, verify.go and lint.go what they find.
//
// Invariants: exit 0 is fine, 1 something was found, 2 it could not be done; stdout has
// the answer and nothing else; no name from a file reaches a terminal unescaped.
package main

import (
	"context"
	"os"
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

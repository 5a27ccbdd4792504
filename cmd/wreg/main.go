// Command wreg is an embedded registry of model weights with a query language:
// it indexes checkpoints, finds the weights that are missing, and writes the
// checkpoint a consumer needs. One file per verb; root.go holds what they share.
package main

import (
	"context"
	"os"
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// Package archs holds the architectures that come with the program: a file for each
// family, and blocks that they share. docs/arch-language.md is their language.
//
// Most users need registry/arch, which parses [Files] when one is asked for.
//
// Invariants: a file is called as the model_type it is for, which it names first; no
// model_type has two files. What a family needs is said here and not in Go.
package archs

import "embed"

// Files are NAME.arch and blocks/NAME.arch, and gguf/NAME.arch for checkpoints whose
// tensors have llama.cpp's names, and mlx-vlm/NAME.arch for mlx_vlm.
//
//go:embed *.arch blocks/*.arch gguf/*.arch mlx-vlm/*.arch
var Files embed.FS

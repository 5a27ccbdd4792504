package tensor

import (
	"slices"
	"strings"
)

// Flat is a kind of tensor that is no weight but the pieces of many, one behind the
// other, as one process of a training run keeps them.
type Flat struct {
	within []string // its segment, with a number at its end or without
	Whose  string
	Do     string // to have whole weights
}

// What makes whole weights of what DeepSpeed's ZeRO left in pieces.
const (
	ZeROToFP32  = "zero_to_fp32.py, which DeepSpeed leaves beside or above them, makes whole weights of them"
	GatherZeRO3 = "gather first (stage3_gather_16bit_weights_on_model_save, or zero_to_fp32.py)"
)

var flats = []Flat{
	{[]string{"_flat_param", "flat_param"}, "FSDP's flat parameters of one process", "save the model again with StateDictType.FULL_STATE_DICT, which gathers them"},
	{[]string{"fp32_flat_groups", "single_partition_of_fp32_groups"}, "DeepSpeed ZeRO's partitions of one process", ZeROToFP32},
}

// FlatOf says what pieces a tensor consists of; nil when its name does not say that it
// does.
func FlatOf(path string) *Flat {
	if strings.HasSuffix(path, ".weight") || !strings.Contains(path, "flat_") && !strings.Contains(path, "single_partition") {
		return nil
	}
	segments := strings.Split(path, ".")
	if last := len(segments) - 1; last > 0 {
		if _, numbered := number(segments[last]); numbered { // of a list
			segments = segments[:last]
		}
	}
	name := strings.TrimSuffix(strings.TrimRight(segments[len(segments)-1], "0123456789"), "_")
	for i := range flats {
		if slices.Contains(flats[i].within, name) {
			return &flats[i]
		}
	}
	return nil
}

// FlatAmong counts the tensors that consist of pieces, and says what the first does.
func FlatAmong(list List) (kind *Flat, first string, n int) {
	for i := range list {
		if f := FlatOf(list[i].Path); f != nil {
			if n++; n == 1 {
				kind, first = f, list[i].Path
			}
		}
	}
	return kind, first, n
}

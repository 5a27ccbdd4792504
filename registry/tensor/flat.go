package tensor

import "strings"

// Flat is a kind of tensor that is no weight but the pieces of many, one behind the
// other, as one process of a training run keeps them.
type Flat struct {
	within string // its segment, with a number at its end or without
	Whose  string
	Do     string // to have whole weights
}

var flats = []Flat{
	{"_flat_param", "FSDP's flat parameters of one process", "save the model again with StateDictType.FULL_STATE_DICT, which gathers them"},
	{"flat_param", "FSDP's flat parameters of one process", "save the model again with StateDictType.FULL_STATE_DICT, which gathers them"},
	{"fp32_flat_groups", "DeepSpeed ZeRO's partitions of one process", "zero_to_fp32.py, which DeepSpeed leaves beside or above them, makes whole weights of them"},
	{"single_partition_of_fp32_groups", "DeepSpeed ZeRO's partitions of one process", "zero_to_fp32.py, which DeepSpeed leaves beside or above them, makes whole weights of them"},
}

// FlatOf says what pieces a tensor consists of; nil when its name does not say that it
// does.
func FlatOf(path string) *Flat {
	if !strings.Contains(path, "flat_") && !strings.Contains(path, "single_partition") {
		return nil
	}
	segments := strings.Split(path, ".")
	if last := len(segments) - 1; last > 0 {
		if _, numbered := number(segments[last]); numbered { // of a list
			segments = segments[:last]
		}
	}
	name := strings.TrimRight(segments[len(segments)-1], "0123456789")
	for i := range flats {
		if f := &flats[i]; name == f.within || name == f.within+"_" {
			return f
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

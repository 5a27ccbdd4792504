package receipt

import (
	"encoding/json"
	"fmt"
)

// What a receipt takes in memory follows from how many values it has, of which the
// shortest has two bytes: a receipt of the largest checkpoint has its sources, tensors
// and parts as objects, of few fields each. One list of it holds as many objects as a
// checkpoint has tensors, at most.
const (
	maxObjects = 3<<19 + 1<<17
	maxListed  = 1 << 19
	maxValues  = 16 * (3<<19 + 1<<17)
	maxItems   = 1 << 22 // in lists of numbers and texts: dimensions, what came from where
	maxText    = 1 << 20 // bytes of one text: no path is as long, nor a tensor's steps
)

// Parse refuses what has more values before it takes memory for any.
func Parse(data []byte) (r Receipt, err error) {
	if err := fits(data); err != nil {
		return r, err
	}
	return r, json.Unmarshal(data, &r)
}

// fits counts what a receipt has, and what its lists have.
func fits(data []byte) error {
	objects, listed, values, items, depth, text := 0, 0, 0, 0, 0, -1
	lists := uint64(0) // a bit for each level: whether it is a list
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case text >= 0 && c == '\\':
			i++
		case c == '"' && text < 0:
			text = i
		case c == '"':
			if i-text > maxText {
				return fmt.Errorf("a text of %d bytes at %d is longer than a receipt's, which have at most %d", i-text, text, maxText)
			}
			text = -1
		case text >= 0:
		case c == '[':
			lists = lists<<1 | 1
			if depth++; depth == 2 {
				listed = 0
			}
		case c == '{':
			lists <<= 1
			objects++
			if depth++; depth == 3 {
				if listed++; listed > maxListed {
					return fmt.Errorf("more than %d objects in one list of a receipt", maxListed)
				}
			}
		case c == ']' || c == '}':
			depth--
			lists >>= 1
		case c == ',':
			values++
			if depth > 3 {
				items += int(lists & 1)
			}
		}
	}
	if objects > maxObjects || values > maxValues || items > maxItems {
		return fmt.Errorf("%d objects, %d values and %d in lists are more than a receipt has, at most %d, %d and %d",
			objects, values, items, maxObjects, maxValues, maxItems)
	}
	return nil
}

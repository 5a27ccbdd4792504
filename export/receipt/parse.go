package receipt

import (
	"encoding/json"
	"fmt"
)

// What a receipt takes in memory follows from how many values it has, of which the
// shortest has two bytes: a receipt of the largest checkpoint has its sources, tensors
// and parts as objects, of few fields each.
const (
	maxObjects = 3<<19 + 1<<17
	maxValues  = 16 * (3<<19 + 1<<17)
)

// Parse refuses what has more values before it takes memory for any.
func Parse(data []byte) (r Receipt, err error) {
	objects, values, text := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{':
			objects++
		case c == ',':
			values++
		}
	}
	if objects > maxObjects || values > maxValues {
		return r, fmt.Errorf("%d objects and %d values are more than a receipt has, at most %d and %d", objects, values, maxObjects, maxValues)
	}
	return r, json.Unmarshal(data, &r)
}

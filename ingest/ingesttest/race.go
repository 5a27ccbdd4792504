//go:build race

package ingesttest

// slower is how many times longer the same steps take where races are looked for.
const slower = 10

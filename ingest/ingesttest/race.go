//go:build race

package ingesttest

// Cost is how many times more time and memory the same steps may take where races are looked for.
const Cost = 10

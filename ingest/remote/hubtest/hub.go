// Package hubtest is a model hub on the loopback: for tests, and for the demo.
package hubtest

// Command wreg is an embedded registry of model weights with a query language.
package main

func main() {}

//go:build !linux

package main

func askHugePages() {} // no other system hands them out on request

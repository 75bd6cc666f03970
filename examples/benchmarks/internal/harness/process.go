package harness

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// RSS returns a process's resident memory in bytes, 0 where there is no /proc.
func RSS(pid int) int64 {
	p, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(p))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// CPU returns the processor time that a process has used, user and system, 0 where
// there is no /proc. It counts in hundredths of a second.
func CPU(pid int) time.Duration {
	p, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The second field, in parentheses, may hold anything; utime and stime are the
	// 14th and 15th.
	_, rest, _ := strings.Cut(string(p), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	var used time.Duration
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0
		}
		used += time.Duration(n) * (time.Second / 100)
	}
	return used
}

// Descriptors counts the open files of this process, -1 where there is no /proc.
// The one that it counts with is among them.
func Descriptors() int { return DescriptorsOf(os.Getpid()) }

// DescriptorsOf counts the open files of a process, -1 where there is no /proc.
func DescriptorsOf(pid int) int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return -1
	}
	return len(entries)
}

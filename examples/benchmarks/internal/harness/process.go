package harness

import (
	"fmt"
	"os"
	"strconv"
	"strings"
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

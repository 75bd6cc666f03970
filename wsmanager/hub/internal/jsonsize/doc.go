// Package jsonsize estimates how many bytes of memory encoding/json allocates for a value before it is decoded. A few bytes
// of JSON may stand for much memory: each {} or 0 of an array makes a whole element, also if it is a large struct, and each
// short member of an object may allocate what a pointer refers to.
//
// The estimate has elements of slices and maps, what pointers refer to, and values of interfaces. It has neither the variable
// itself nor texts, which are no longer than their JSON, and nothing of types that decode themselves. It is rather too high
// than too low: slices grow in steps. The package decodes nothing, and does not check that the JSON is valid: of invalid JSON
// encoding/json allocates nothing.
package jsonsize

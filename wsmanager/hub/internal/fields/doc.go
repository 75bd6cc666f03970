// Package fields finds the fields of struct types by the rules of encoding/json: which fields a type has, under which names,
// and which of several fields with one name counts. Protocols use it so that all of them have the same fields. It does not
// read or write values, and keeps no state: callers cache results.
package fields

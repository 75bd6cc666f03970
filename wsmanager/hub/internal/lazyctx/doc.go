// Package lazyctx has a context that can be canceled with a cause, and costs no allocation and no registration with its
// parent until its Done channel or a value is needed. Most calls of a hub never look at their context.
//
// The package does not make the parent, and cancels nothing by itself: its owner calls Cancel.
package lazyctx

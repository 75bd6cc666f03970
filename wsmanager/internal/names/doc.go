// Package names is a set of names or ids, as an audience has it. It knows neither groups nor
// connections.
package names

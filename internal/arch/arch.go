// Package arch keeps the layout honest: its test reads the import table in docs/imports.txt and checks each Go file
// of the module against it. The package holds no code for others.
package arch

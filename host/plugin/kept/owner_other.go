//go:build !unix

package kept

// CheckOwner is for systems where owners are not told by a number.
func CheckOwner(string) error { return nil }

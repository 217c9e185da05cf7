// Package wire has what the messages of remote write and remote read have in common, for those who send and who receive them:
// how to walk through protobuf, how to append to it, native histograms, the numbers of fields and of types.
//
// Start with [Walker]; [ReadNative], [AppendWhole] and [AppendFloat] are for histograms. Which messages there are, and what
// they mean, is up to the packages beside this one.
package wire

// Package suite compares query engines on the same questions over the same samples.
//
// Each engine runs in a process of its own, which calls [Serve]: engines may need versions of a library that exclude
// each other, and CPU and memory are counted by process. [Compare] starts the processes, asks each of them every case
// in turn, checks that the answers agree, and prints a table. [Data] makes the samples, [Cases] lists the questions.
package suite

// Package rules evaluates the groups of rule files on their schedule: recording rules make new series, alerting rules
// keep alerts, which it hands to a [Notifier].
//
// Start with [Load], which reads rule files, and [Manager], whose [Manager.Prepare] and [Change.Apply] exchange the
// groups while [Manager.Run] evaluates them. [NewGroups] makes groups whose time is the caller's, for tests and for
// trying rules on the past. One group's life is in schedule.go, one evaluation in evaluate.go, the state machine of
// alerts in alert.go.
//
// The package neither delivers alerts nor knows how they are silenced.
package rules

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/parser"
)

func promqlCommand(io streams) *cobra.Command {
	c := group("promql", "Format and change queries")
	c.PersistentFlags().Bool("experimental", false, "without effect, for scripts that were written for promtool")
	c.AddCommand(promqlFormatCommand(io), promqlMatchersCommand(io))
	return c
}

// printEdited has edit make an expression, with the features that are enabled, and prints it.
func printEdited(io streams, features []string, edit func(*parser.Parser) (parser.Expr, error)) error {
	query, err := enabledFeatures(features)
	if err != nil {
		return err
	}
	e, err := edit(queryParser(query))
	if err != nil {
		return err
	}
	fmt.Fprintln(io.out, parser.Pretty(e))
	return nil
}

func promqlFormatCommand(io streams) *cobra.Command {
	var features []string
	c := &cobra.Command{
		Use:   "format QUERY",
		Short: "Print a query in its usual form, long ones in several lines",
		Args:  oneArg,
		RunE: func(_ *cobra.Command, args []string) error {
			return printEdited(io, features, func(p *parser.Parser) (parser.Expr, error) { return p.ParseExpr(args[0]) })
		},
	}
	addFeatureFlag(c.Flags(), &features)
	return c
}

func promqlMatchersCommand(io streams) *cobra.Command {
	c := group("label-matchers", "Change the label matchers of a query")
	c.AddCommand(promqlSetCommand(io), promqlDeleteCommand(io))
	return c
}

func promqlSetCommand(io streams) *cobra.Command {
	var features []string
	var operator string
	c := &cobra.Command{
		Use:   "set QUERY NAME VALUE",
		Short: "Print a query in which each selector has one matcher for a label",
		Args:  exactly(3),
		RunE: func(_ *cobra.Command, args []string) error {
			t, err := matchType(operator)
			if err != nil {
				return &usageError{err}
			}
			m, err := labels.NewMatcher(t, args[1], args[2])
			if err != nil {
				return err
			}
			return printEdited(io, features, func(p *parser.Parser) (parser.Expr, error) { return p.SetMatcher(args[0], m) })
		},
	}
	c.Flags().StringVarP(&operator, "type", "t", "=", "how the matcher compares: =, !=, =~ or !~")
	addFeatureFlag(c.Flags(), &features)
	return c
}

func matchType(operator string) (labels.MatchType, error) {
	for _, t := range []labels.MatchType{labels.MatchEqual, labels.MatchNotEqual, labels.MatchRegexp, labels.MatchNotRegexp} {
		if t.String() == operator {
			return t, nil
		}
	}
	return 0, fmt.Errorf("--type: %q is none of =, !=, =~ and !~", operator)
}

func promqlDeleteCommand(io streams) *cobra.Command {
	var features []string
	c := &cobra.Command{
		Use:   "delete QUERY NAME",
		Short: "Print a query without the matchers for a label",
		Args:  exactly(2),
		RunE: func(_ *cobra.Command, args []string) error {
			return printEdited(io, features, func(p *parser.Parser) (parser.Expr, error) { return p.DropMatchers(args[0], args[1]) })
		},
	}
	addFeatureFlag(c.Flags(), &features)
	return c
}

package command

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Renamed keeps the old name of a flag of cmd working: it sets the flag that
// has the new name, and says so on standard error. Help, completion and manual
// pages do not show it.
func Renamed(cmd *cobra.Command, old, name string) {
	flags := cmd.Flags()
	if cmd.PersistentFlags().Lookup(name) != nil {
		flags = cmd.PersistentFlags()
	}
	f := flags.Lookup(name)
	flags.AddFlag(&pflag.Flag{Name: old, Usage: "old name of --" + name, Value: &oldName{Value: f.Value, cmd: cmd, old: old, now: f}, DefValue: f.DefValue, Hidden: true})
}

// An oldName is the value of a flag under its old name.
type oldName struct {
	pflag.Value
	cmd *cobra.Command
	old string
	now *pflag.Flag

	used bool
	last string // what it set the flag to
}

func (o *oldName) Set(value string) error {
	if !o.used {
		Complain(o.cmd.ErrOrStderr(), "--%s is now called --%s", o.old, o.now.Name)
		if o.now.Changed && !o.addsUp() {
			return o.both()
		}
	}
	if err := o.Value.Set(value); err != nil {
		return err
	}
	o.used, o.now.Changed, o.last = true, true, o.Value.String()
	return nil
}

// addsUp reports whether values add up when the flag is repeated.
func (o *oldName) addsUp() bool {
	_, ok := o.Value.(pflag.SliceValue)
	return ok
}

// check returns an error if the new name was used after the old one and changed
// the value.
func (o *oldName) check() error {
	if o.used && !o.addsUp() && o.Value.String() != o.last {
		return o.both()
	}
	return nil
}

func (o *oldName) both() error {
	return Usagef("--%s and --%s are one flag: use only --%[2]s", o.old, o.now.Name)
}

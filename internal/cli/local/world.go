package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/policyflags"
	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/lambda"
	"tlswatch/internal/localaws/s3"
	"tlswatch/internal/template/deployment"
	"tlswatch/internal/template/sam"
	"tlswatch/pkg/config"
	"tlswatch/pkg/logkey"
)

// A world is the running function and its AWS services.
type world struct {
	stack  *localaws.Stack
	lambda *lambda.Function
	bucket string
	key    func(key string) string     // where a load balancer would deliver a log
	wait   func(context.Context) error // until all events are handled
	left   func() int                  // objects that failed for good
	faults func() []string             // calls that the template does not allow
	close  func()
}

// startWorld connects S3 and the function directly.
func (o options) startWorld(ctx context.Context, function string, policies map[string]string, output, stderr io.Writer) (*world, error) {
	stack, err := localaws.Start(ctx, localaws.Options{})
	if err != nil {
		return nil, err
	}
	for _, name := range []string{logBucket, stateBucket} {
		if err := stack.S3.CreateBucket(name); err != nil {
			return nil, errors.Join(err, stack.Close())
		}
	}
	env := stack.Env()
	for _, s := range config.Settings() {
		if value := os.Getenv(s.Name); value != "" {
			env[s.Name] = value
		}
	}
	maps.Copy(env, policies)
	env["ALERT_TOPIC_ARN"] = stack.SNS.CreateTopic(alertTopic)
	env["STATE_BUCKET"] = stateBucket
	env["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
	lambda, err := lambda.Start(ctx, lambda.Options{
		Bootstrap:   function,
		Name:        "tlswatch-processor",
		Env:         env,
		Timeout:     timeout,
		Concurrency: runtime.NumCPU(),
		Output:      output,
	})
	if err != nil {
		return nil, errors.Join(err, stack.Close())
	}
	stack.S3.SetOnCreated(func(c s3.ObjectCreated) {
		if c.Bucket != logBucket {
			return
		}
		if _, err := lambda.InvokeAsync(s3.Event(c)); err != nil && ctx.Err() == nil {
			command.Complain(stderr, "event for %s: %v", c.Key, err)
		}
	})
	return &world{
		stack: stack, lambda: lambda, bucket: logBucket,
		key:    func(key string) string { return key },
		wait:   lambda.Wait,
		left:   func() int { return len(lambda.DeadLetters()) },
		faults: func() []string { return nil },
		close:  func() { lambda.Close(); stack.Close() },
	}, nil
}

// startTemplate starts what a template deploys.
func (o options) startTemplate(ctx context.Context, function string, output io.Writer) (*world, error) {
	source, err := command.ReadFile(ctx, o.template)
	if err != nil {
		return nil, err
	}
	template, err := sam.Parse(source)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.template, err)
	}
	parameters := make(map[string]string)
	for _, p := range o.parameters {
		name, value, ok := strings.Cut(p, "=")
		if !ok {
			return nil, command.Usagef("--parameter must be NAME=VALUE, not %q", p)
		}
		parameters[name] = value
	}
	s, err := template.Expand("tlswatch", parameters)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.template, err)
	}
	set, err := o.Load(ctx)
	if err != nil {
		return nil, err
	}
	const parameter = "ListenerPolicies"
	if err := policyflags.CheckSetting(set, parameter, s.Parameters[parameter]); err != nil {
		return nil, err
	}
	run := deployment.Options{Stack: s, Bootstraps: map[string]string{"ProcessorFunction": function}, Output: output}
	if bucket := s.Parameters["ExistingLogBucket"]; bucket != "" {
		run.Buckets = []string{bucket}
	}
	d, err := deployment.Start(ctx, run)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.template, err)
	}
	lambda := d.Functions["ProcessorFunction"]
	if lambda == nil {
		return nil, errors.Join(fmt.Errorf("%s has no ProcessorFunction", o.template), d.Close())
	}
	return &world{
		stack: d.AWS, lambda: lambda, bucket: s.Outputs["LogBucket"],
		key:    func(key string) string { return deliveredKey(s.Parameters["LogPrefix"], key) },
		wait:   d.Settle,
		left:   d.Left,
		faults: func() []string { return slices.Concat(d.Denied(), d.Failures()) },
		close:  func() { d.Close() },
	}, nil
}

// deliveredKey returns the key under which a load balancer delivers a log with a name.
func deliveredKey(prefix, key string) string {
	if k, err := logkey.Parse(key); err == nil && !strings.Contains(key, "AWSLogs/") {
		key = path.Join("AWSLogs", k.Account, "elasticloadbalancing", k.Region, k.PeriodEnd.Format("2006/01/02"), path.Base(key))
	}
	return path.Join(prefix, key)
}

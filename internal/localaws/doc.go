// Package localaws holds embedded stand-ins for the AWS services that a
// connection-log function, and those who operate it, talk to: S3, CloudWatch,
// SNS, SQS, Elastic Load Balancing v2, the Lambda Runtime API and the Lambda
// API. They serve the real wire protocols over HTTP on loopback, so that an
// unchanged program with an unchanged AWS SDK can run against them.
//
// [Start] brings up all but the last two; [Stack.Env] is the environment
// that points an SDK at them; [StartLambda] runs the real function executable,
// which [StartLambdaAPI] lets clients invoke by name:
//
//	stack, err := localaws.Start(ctx, localaws.Options{})
//	fn, err := localaws.StartLambda(ctx, localaws.LambdaOptions{
//		Bootstrap: "bootstrap",
//		Env:       stack.Env(),
//	})
//	stack.S3.SetOnCreated(func(o localaws.ObjectCreated) {
//		if o.Bucket == "logs" {
//			fn.InvokeAsync(o.Event())
//		}
//	})
//
// # What they prove, and what not
//
// The stand-ins are this project's reading of the AWS documentation: they
// enforce the documented limits and answer with the documented errors. They do
// not check signatures, nor permissions unless [Stack.SetAuthorize] says how, and they prove nothing about AWS's
// quotas, latency or delivery order. Where the documentation is silent the
// choice made here is written at the place where it is made, and leans to the
// strict side.
//
// # Failure on purpose
//
// Each stand-in takes a [FaultFunc], which sees every request before it is
// answered and may lose it, lose its reply, cut or slow the reply, or replace
// it by an error of the service's own shape.
//
// The package stands for AWS, not for this project: it imports no other
// package of the module.
package localaws

package sam

// MaySend reports whether the policies of a queue let an EventBridge rule send to it.
func (s *Stack) MaySend(queue *Resource, ruleARN string) bool {
	arn, err1 := s.attribute(queue.Type, queue.ID, "Arn")
	url, err2 := s.attribute(queue.Type, queue.ID, "QueueUrl")
	if err1 != nil || err2 != nil {
		return false
	}
	for _, r := range s.OfType("AWS::SQS::QueuePolicy") {
		for _, q := range List(r.At("Queues")) {
			policy, err := r.PolicyOf("PolicyDocument")
			if err == nil && q == url && policy.Allows(Request{
				Action: "sqs:SendMessage", Resource: arn, Service: "events.amazonaws.com",
				Context: map[string]string{"aws:SourceArn": ruleARN, "aws:SecureTransport": "true"},
			}) {
				return true
			}
		}
	}
	return false
}

// MayInvoke reports whether the permissions of a function let an EventBridge
// rule invoke it.
func (s *Stack) MayInvoke(function *Resource, ruleARN string) bool {
	name, err := s.attribute(function.Type, function.ID, "Name")
	if err != nil {
		return false
	}
	for _, r := range s.OfType("AWS::Lambda::Permission") {
		if r.Text("FunctionName") == name && r.Text("Principal") == "events.amazonaws.com" &&
			r.Text("Action") == "lambda:InvokeFunction" && r.Text("SourceArn") == ruleARN {
			return true
		}
	}
	return false
}

// ARN returns the ARN of a resource of the stack.
func (s *Stack) ARN(r *Resource) (string, error) {
	if r.Type == "AWS::SNS::Topic" {
		return s.attribute(r.Type, r.ID, "TopicArn")
	}
	return s.attribute(r.Type, r.ID, "Arn")
}

// Ref returns the value of Ref for a resource of the stack.
func (s *Stack) Ref(r *Resource) (string, error) {
	return s.attribute(r.Type, r.ID, refAttribute[r.Type])
}

// Fetches a page from each server named on standard input: PORT TAB MIN,MAX TAB PEM FILE.
'use strict';
const fs = require('fs');
const tls = require('tls');

function fetch(line) {
	const [port, versions, key] = line.split('\t');
	const options = {host: '127.0.0.1', port: Number(port), servername: 'server.example.test', rejectUnauthorized: false};
	return new Promise((resolve) => {
		const done = (answer) => resolve(port + '\t' + answer.replace(/\s+/g, ' '));
		try {
			if (versions) {
				options.minVersion = versions.split(',')[0];
				options.maxVersion = versions.split(',').pop();
				if (options.minVersion === 'TLSv1' || options.minVersion === 'TLSv1.1') {
					options.ciphers = 'DEFAULT:@SECLEVEL=0';
				}
			}
			if (key) {
				options.key = options.cert = fs.readFileSync(key);
			}
			const s = tls.connect(options, () => s.write('GET / HTTP/1.0\r\n\r\n'));
			s.setTimeout(20000, () => s.destroy(new Error('timeout')));
			s.once('data', (data) => {
				done(data.toString('latin1').split('\r\n')[0]);
				s.destroy();
			});
			s.once('error', (e) => done(String(e)));
			s.once('close', () => done('closed'));
		} catch (e) {
			done(String(e));
		}
	});
}

(async () => {
	for (const line of fs.readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
		console.log(await fetch(line));
	}
})();

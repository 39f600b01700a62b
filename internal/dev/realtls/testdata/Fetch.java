import java.io.*;
import java.net.*;
import java.security.*;
import java.security.cert.X509Certificate;
import javax.net.ssl.*;

/** Fetches a page from each server named on standard input: PORT TAB MIN,MAX TAB KEYSTORE. */
public class Fetch {
	public static void main(String[] args) throws Exception {
		TrustManager[] all = {new X509ExtendedTrustManager() {
			public void checkClientTrusted(X509Certificate[] c, String a) {}
			public void checkServerTrusted(X509Certificate[] c, String a) {}
			public void checkClientTrusted(X509Certificate[] c, String a, Socket s) {}
			public void checkServerTrusted(X509Certificate[] c, String a, Socket s) {}
			public void checkClientTrusted(X509Certificate[] c, String a, SSLEngine e) {}
			public void checkServerTrusted(X509Certificate[] c, String a, SSLEngine e) {}
			public X509Certificate[] getAcceptedIssuers() { return new X509Certificate[0]; }
		}};
		BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
		for (String line; (line = in.readLine()) != null; ) {
			String[] f = line.split("\t", -1);
			String answer;
			try {
				KeyManager[] keys = null;
				if (!f[2].isEmpty()) {
					KeyStore store = KeyStore.getInstance("PKCS12");
					try (InputStream file = new FileInputStream(f[2])) {
						store.load(file, "secret".toCharArray());
					}
					KeyManagerFactory factory = KeyManagerFactory.getInstance("PKIX");
					factory.init(store, "secret".toCharArray());
					keys = factory.getKeyManagers();
				}
				SSLContext context = SSLContext.getInstance("TLS");
				context.init(keys, all, null);
				try (Socket plain = new Socket("127.0.0.1", Integer.parseInt(f[0]));
				     SSLSocket s = (SSLSocket) context.getSocketFactory().createSocket(plain, "server.example.test", 443, true)) {
					s.setSoTimeout(20000);
					if (!f[1].isEmpty()) {
						s.setEnabledProtocols(f[1].split(","));
					}
					s.getOutputStream().write("GET / HTTP/1.0\r\n\r\n".getBytes());
					answer = new BufferedReader(new InputStreamReader(s.getInputStream())).readLine();
				}
			} catch (Exception e) {
				answer = e.toString();
			}
			System.out.println(f[0] + "\t" + answer);
		}
	}
}

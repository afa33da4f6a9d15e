// Asks for a checksum as gfal2, FTS and XRootD's HTTP plug-in do: by davix's own call, which has no command.
//
//     BEARER_TOKEN=… davix-checksum URL ALGORITHM

#include <cstdlib>
#include <davix/davix.hpp>
#include <iostream>
#include <string>

int main(int argc, char **argv) {
  if (argc != 3) {
    std::cerr << "usage: davix-checksum URL ALGORITHM\n";
    return 2;
  }
  Davix::Context context;
  Davix::RequestParams params;
  if (const char *token = std::getenv("BEARER_TOKEN")) params.addHeader("Authorization", std::string("Bearer ") + token);
  if (const char *authorities = std::getenv("X509_CERT_DIR")) params.addCertificateAuthorityPath(authorities);
  Davix::DavFile file(context, Davix::Uri(argv[1]));
  std::string value;
  Davix::DavixError *error = nullptr;
  if (file.checksum(&params, value, argv[2], &error) < 0) {
    std::cerr << error->getErrMsg() << "\n";
    return 1;
  }
  std::cout << value << "\n";
}

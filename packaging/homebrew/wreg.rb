# A template: URL and SHA256 are those of the release's source archive. Built with cgo, so that macOS computes with Metal.
class Wreg < Formula
  desc "Registry of model weights with a query language"
  homepage "HOMEPAGE"
  url "URL"
  sha256 "SHA256"
  license "Apache-2.0"

  depends_on "go" => :build

  def install
    system "go", "build", *std_go_args(ldflags: "-s -w"), "./cmd/wreg"
    generate_completions_from_executable(bin/"wreg", "completion")
  end

  test do
    system bin/"wreg", "demo"
  end
end

#!/usr/bin/env bash
# Makes a folder that runs where it is put: the program, the shared libraries it needs, their
# notices, the catalog and the small tiny model. The other machine has a glibc at least as new as the
# one here, what its package manager is made of and, for the GPU, the NVIDIA driver.
#
#   scripts/bundle.sh FOLDER [BUILD]      BUILD: a configured build, default build/bundle (made here)
#
# GLM_CUDA and GLM_CUDA_ARCHITECTURES decide about the CUDA backend of a build made here.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -ge 1 ] || { echo "usage: scripts/bundle.sh FOLDER [BUILD]" >&2; exit 2; }
folder=$1
build=${2:-}
if [ -e "$folder" ] && [ -n "$(ls -A "$folder")" ]; then
  echo "bundle: $folder is not empty; give a new folder" >&2
  exit 1
fi
command -v patchelf >/dev/null || { echo "bundle: patchelf is missing: apt-get install patchelf" >&2; exit 1; }

if [ -z "$build" ]; then
  build=build/bundle
  ./scripts/install_deps.sh
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGLM_TESTS=OFF "-DGLM_CUDA=${GLM_CUDA:-AUTO}" \
    ${GLM_CUDA_ARCHITECTURES:+"-DCMAKE_CUDA_ARCHITECTURES=$GLM_CUDA_ARCHITECTURES"}
fi
cmake --build "$build" -j "$(nproc)" --target glm
cmake --install "$build" --prefix "$folder" --strip >/dev/null

# One tiny model is enough, and it is the small one that `tiny` means here.
rm -rf "$folder/share/glm/models/glm-tiny"
cp "$folder/share/glm/catalog/tiny/int4.modelfile" "$folder/share/glm/catalog/tiny/latest.modelfile"

# What belongs to glibc and the loader must be the other machine's own. Of the rest, what apt needs
# (the C++ runtime, GnuTLS and below, zlib, zstd) is on every Debian and Ubuntu under these names.
mkdir -p "$folder/lib" "$folder/notices"
cp LICENSE "$folder/notices/glm"
ldd "$folder/bin/glm" | awk '/=> \//{print $3}' | sort -u | while read -r library; do
  name=$(basename "$library")
  case "$name" in
    libc.so.* | libm.so.* | libdl.so.* | librt.so.* | libpthread.so.* | libresolv.so.* | ld-linux*) continue ;;
    libstdc++.so.6 | libgcc_s.so.1 | libz.so.1 | libzstd.so.1) continue ;;
    libgnutls.so.30 | libhogweed.so.6 | libnettle.so.8 | libgmp.so.10 | libp11-kit.so.0 | libtasn1.so.6 | libffi.so.8)
      continue ;;
  esac
  cp -L "$library" "$folder/lib/$name"
  chmod u+w "$folder/lib/$name"
  patchelf --set-rpath '$ORIGIN' "$folder/lib/$name"
  package=$(dpkg -S "$(realpath "$library")" 2>/dev/null || dpkg -S "$library" 2>/dev/null || true)
  package=${package%%:*}
  notice=/usr/share/doc/$package/copyright
  if [ -z "$package" ] || [ ! -e "$notice" ]; then
    echo "bundle: no notice was found for $name" >&2
    exit 1
  fi
  cp -L "$notice" "$folder/notices/$package"
done
patchelf --set-rpath '$ORIGIN/../lib' "$folder/bin/glm"

echo "bundle: $folder, $(du -sm "$folder" | cut -f1) MB; try $folder/bin/glm run tiny \"What is 17 + 25?\""

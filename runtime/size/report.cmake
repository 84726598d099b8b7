# Prints the sizes of the two probes; see runtime/CMakeLists.txt.
file(SIZE ${CORE} core)
file(SIZE ${GENERATION} generation)
message("runtime-size (${CONFIG}, stripped): load and evaluate ${core} bytes, "
        "with tokenizer, chat template and sampling ${generation} bytes")


Y
inputPlaceholder*
dtype0*6
shape-:+ÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿ

runReluinput*
T0

layersSigmoidrun*
T0
!
saveSoftpluslayers*
T0

selfRelusave*
T0
"
metadataSigmoidself*
T0
&
forwardSoftplusmetadata*
T0

classReluforward*
T0

2ndSigmoidclass*
T0

a/bSoftplus2nd*
T0

a__bRelua/b*
T0

c-dSigmoida__b*
T0
!
outputsSoftplusc-d*
T0"†
//! NIST ACVP, ML-KEM-keyGen-FIPS203, sample vectors: five test cases of each parameter set, as the seed d ‖ z and the SHA-256 of
//! the encapsulation key. Encapsulation and decapsulation are Wycheproof's part: their published inputs are whole keys, too long to
//! stand here.

use super::*;
use crate::hash::sha256;

/// Test case, seed, SHA-256 of the key.
type Case = (u32, &'static str, &'static str);

const ML_KEM_768: [Case; 5] = [
    (
        26,
        "e34a701c4c87582f42264ee422d3c684d97611f2523efe0c998af05056d693dca85768f3486bd32a01bf9a8f21ea938e648eae4e5448c34c3eb88820b159eedd",
        "7799c9d8eef172aa78c073514f2f039c240de8c5cb61bca82ba0bc46041ce279",
    ),
    (
        27,
        "444f032dd19ae7518c4b35b0732a41dc567845aba8bd7b04a9c413a0cf2de0b5df0f282411f4a071489a8f618e2ae5aef40131cac5233d6d731522720c2feb1c",
        "9d027d1bffe13e5b754e793c6b54f92ce2f12858a3bf74421eba8622cd911670",
    ),
    (
        28,
        "092271d05ca63c60880af404d60bc4bb9539e2ea12969581898d56e0ac9a5a685aa6dc620a6e9a60cf19a7b4f0ff805bda8219522a548ee5857c3ff6060c7a2f",
        "304a6fb283e56f116cc78afa3bfc772a178ea92747478108527582ea331b90f1",
    ),
    (
        29,
        "bbf7574cf5f32be49e1f39ce33870d9d6384056d60d223003b6b0c10d5c421807cf50f7237a97072f03f31cfd59fa8e863bca3af7375e0ca698ff665661c24cf",
        "cd20dbd197cf741998d771e49d1c4613e3a2f7d356d28cbc0dd9ba870a0db8d2",
    ),
    (
        30,
        "d12cd9b65b7c58b2195ae0be0282527bac06c2d25cb0472628d64715f7f6a378c593627807074684b7d363441f80f6a3d185d67878702d33a4e0bda2000f857d",
        "e4de0328dd48dea0954b7a23ac850bc36b84bf370f25ef9ced9437cd56fd4d07",
    ),
];

const ML_KEM_1024: [Case; 5] = [
    (
        51,
        "49ac8b99bb1e6a8ea818261f8be68bdeaa52897e7ec6c40b530bc760ab77dce399e3246884181f8e1dd44e0c7629093330221fd67d9b7d6e1510b2dbad8762f7",
        "62fccf5fdf805b110670b39cd5e25b1811172961ea4047bfbd589e323ce7cfbc",
    ),
    (
        52,
        "2d229ab46354901491476cce8fa96e4a5fba65ab2f538fedaa528e35687a782b007bf379b97da0947f2e9bfde3359e282c9cf1d2e68a80209b533104e90f432d",
        "b3565a7f5518d32811879a47ccc9ede111d5b2e98ba070f77ad61a0a0783d30c",
    ),
    (
        53,
        "1d65d0290b15903371d616d7ac3f2fada8cb24e6c84d52c039a10bc1288c1110e94f4e83e6caabca9e319d40f6ce0e3691b77c92d9e3766be9b6f4b6df2e640e",
        "895ef19dacde402f37331fb4d326967465f4fd73dc0cd6a22fe335b59f699f73",
    ),
    (
        54,
        "22d19527844f3cdb8a342620a96e902ac7c36e54677ada6fe8db08df4ef3b36bec54f6e1e7fb12b796d0e56be6fe3ba6edaab49b08712318b27d229606d2ac70",
        "fda63b5382872de6d4e28611f5586faef746ceedd93e4e4a8c772588ce18f4b5",
    ),
    (
        55,
        "a00d1ee4147dd57b5e76c58a928ded0b720fb2fb6353780b380b5fbc76712e5c5b78f8d30aadb59fa617ef807d5c23113a9908342f08e898e02991ca1d7b934d",
        "9e40dbaa1b263799967635c5f6ece7bf363b75a9714396d93720f785cb78986e",
    ),
];

fn check<P: MlKem>(cases: &[Case]) {
    for (case, seed, expected) in cases {
        let seed = Secret::try_from(hex::decode(seed).unwrap().as_slice()).unwrap();
        let public = KemPrivate::<P>::from_seed(seed).public();
        assert_eq!(hex::encode(sha256(&[public.as_bytes()])), *expected, "{} {case}", P::NAME);
    }
}

/// PQ3-2: a seed gives the key that FIPS 203 says.
#[test]
fn acvp_key_generation_holds() {
    check::<MlKem768>(&ML_KEM_768);
    check::<MlKem1024>(&ML_KEM_1024);
}
